"""Advances searches: settles trials whose runs have ended, gives up hopeless ones, orders the next.

Supervision does it every second or two, anywhere; a lease on the search, taken by one conditional UPDATE, lets one
process do it at a time. Whoever dies in between leaves rows from which the next goes on: a trial is written before its
run is ordered, and the order's key makes it one run however often it is given.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import DatabaseError
from django.db.models import F, Q
from django.utils import timezone

from aiplatform.errors import ConflictError, PlatformError
from training import selectors
from training.annotating import annotate_run
from training.models import Run, Search, Trial
from training.resources.asking import ResourceOrder
from training.searching.choosing import NO_PRUNER, SeenTrial, Study, importances, propose, should_prune
from training.searching.space import Dimension
from training.searching.tidying import remove_spent_checkpoints
from training.services import RunOrder, cancel_run, create_run
from training.states import RunState, SearchState, TrialState

log = structlog.get_logger(__name__)

LEASE_S = 60.0
FAILURES_IN_A_ROW = 5  # trials that fail from the beginning on: the fault is not in the parameters


def advance_searches() -> None:
    """Advance every search that runs and that nobody else advances just now."""
    for search in selectors.list_running_searches():
        try:
            advance_search(search)
        except DatabaseError:
            raise
        except Exception:
            log.exception("search_not_advanced", search=str(search.pk))


def advance_search(search: Search) -> bool:
    """Do what is to be done for a search now; False if another process holds it, or it has ended."""
    fence = _claim(search)
    if fence is None:
        return False
    try:
        search.refresh_from_db()
        _advance(search)
    finally:
        Search.objects.filter(pk=search.pk, fence=fence).update(lease_expires_at=None)
    return True


def study_of(search: Search) -> Study:
    """Return what the search wants, for the chooser."""
    return Study(
        name=str(search.pk),
        space=tuple(Dimension.from_dict(stored) for stored in search.space),
        is_minimized=search.is_minimized,
        sampler=search.sampler,
        pruner=search.pruner,
        seed=search.seed,
        epochs=int(search.parameters.get("epochs", 1)),
    )


def seen_trials(search: Search) -> list[SeenTrial]:
    """Return the trials so far with the search's metric at each epoch."""
    trials = list(search.trials.select_related("run"))
    steps = selectors.metric_by_epoch([trial.run_id for trial in trials if trial.run_id is not None], search.metric)
    return [
        SeenTrial(
            number=trial.number, values=trial.values, state=trial.state, value=trial.value,
            steps=steps.get(trial.run_id, {}) if trial.run_id else {}, notes=trial.notes,
        )
        for trial in trials
    ]  # fmt: skip


def _claim(search: Search) -> int | None:
    now = timezone.now()
    free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
    claimed = Search.objects.filter(free, pk=search.pk, fence=search.fence, state=SearchState.RUNNING).update(
        fence=F("fence") + 1, lease_expires_at=now + timedelta(seconds=LEASE_S)
    )
    return search.fence + 1 if claimed else None


def _advance(search: Search) -> None:
    running = list(search.trials.filter(state=TrialState.RUNNING).select_related("run"))
    for trial in running:
        if trial.run is None:
            _order_run(search, trial)
        elif trial.run.is_ended:
            _settle(search, trial, trial.run)
    if search.pruner != NO_PRUNER:
        _give_up_hopeless(search, [trial for trial in running if trial.run is not None and trial.run.is_active])
    if _is_hopeless(search):
        return
    while _has_room(search):
        if not _begin_trial(search):
            break
    if not search.trials.filter(state=TrialState.RUNNING).exists():
        _end(search)


def _has_room(search: Search) -> bool:
    running = search.trials.filter(state=TrialState.RUNNING).count()
    return running < search.parallel and search.trials.count() < search.trials_wanted


def _begin_trial(search: Search) -> bool:
    number = search.trials.count()
    values = propose(study_of(search), seen_trials(search), number)
    if values is None:
        return False
    trial, _ = Trial.objects.get_or_create(search=search, number=number, defaults={"values": values})
    if trial.run is None:
        _order_run(search, trial)
    return True


def _order_run(search: Search, trial: Trial) -> None:
    order = RunOrder(
        recipe=search.recipe,
        data_uri=search.data_uri,
        model_name=search.model_name,
        target=search.target,
        parameters={**search.parameters, **trial.values},
        seed=search.seed,
        actor=search.requested_by,
        reason=f"trial {trial.number} of search {search.short_id}",
        idempotency_key=f"search:{search.pk}:{trial.number}",
        registers=False,
        resources=ResourceOrder(**search.resources),
    )
    try:
        run = create_run(order)
    except PlatformError as error:
        log.warning("trial_not_ordered", search=str(search.pk), trial=trial.number, error=error.message)
        Trial.objects.filter(pk=trial.pk).update(state=TrialState.FAILED)
        Search.objects.filter(pk=search.pk).update(message=error.message[:1000])
        return
    annotate_run(run, tags=[f"search:{search.short_id}"])
    Trial.objects.filter(pk=trial.pk).update(run=run)


def _settle(search: Search, trial: Trial, run: Run) -> None:
    steps = selectors.metric_by_epoch([run.pk], search.metric).get(run.pk, {})
    value = _value(search, run, steps)
    if run.state == RunState.SUCCEEDED and value is not None:
        Trial.objects.filter(pk=trial.pk).update(state=TrialState.COMPLETE, value=value, last_epoch=max(steps))
        _rate_parameters(search)
        return
    if run.state == RunState.SUCCEEDED:
        why = f"run {run.short_id} measured no '{search.metric}'; it has: {', '.join(_measured(run)) or 'nothing'}"
    else:
        why = run.exit_message
    Trial.objects.filter(pk=trial.pk).update(state=TrialState.FAILED)
    Search.objects.filter(pk=search.pk).update(message=f"trial {trial.number}: {why}"[:1000])


def _value(search: Search, run: Run, steps: dict[int, float]) -> float | None:
    """Return the metric of the epoch whose weights became the model."""
    if not steps:
        return None
    if run.parameters.get("keep") == "best":
        return min(steps.values()) if search.is_minimized else max(steps.values())
    return steps[max(steps)]


def _measured(run: Run) -> list[str]:
    newest = run.epochs.order_by("-epoch").first()
    return sorted(newest.values) if newest else []


def _give_up_hopeless(search: Search, trials: list[Trial]) -> None:
    seen = seen_trials(search) if trials else []
    for trial in trials:
        if trial.run is not None:
            _give_up_if_hopeless(search, trial, trial.run, seen)


def _give_up_if_hopeless(search: Search, trial: Trial, run: Run, seen: list[SeenTrial]) -> None:
    own = next(one for one in seen if one.number == trial.number)
    newest = max(own.steps, default=0)
    if newest <= trial.last_epoch:
        return
    is_hopeless, notes = should_prune(study_of(search), seen, trial.number)
    Trial.objects.filter(pk=trial.pk).update(last_epoch=newest, notes=notes)
    if not is_hopeless or newest >= study_of(search).epochs:
        return
    try:
        cancel_run(run, actor=f"search {search.short_id}")
    except ConflictError:
        return  # it has come to its end meanwhile
    Trial.objects.filter(pk=trial.pk).update(state=TrialState.PRUNED, value=own.steps[newest])
    annotate_run(run, notes=f"given up after epoch {newest} by the search's pruner ({search.pruner})")


def _is_hopeless(search: Search) -> bool:
    """End the search if its first trials have all failed: the fault is not in the chosen parameters."""
    states = list(search.trials.values_list("state", flat=True)[: FAILURES_IN_A_ROW + 1])
    failed = [state for state in states if state == TrialState.FAILED]
    if len(failed) < FAILURES_IN_A_ROW or len(failed) < len(states):
        return False
    message = f"the first {len(failed)} trials failed; {Search.objects.get(pk=search.pk).message}"
    _finish(search, SearchState.FAILED, message[:1000])
    return True


def _end(search: Search) -> None:
    has_any = search.trials.filter(state=TrialState.COMPLETE).exists()
    if has_any:
        _finish(search, SearchState.SUCCEEDED, "")
    else:
        _finish(search, SearchState.FAILED, Search.objects.get(pk=search.pk).message or "no trial came to its end")


def _finish(search: Search, state: SearchState, message: str) -> None:
    ended = Search.objects.filter(pk=search.pk, state=SearchState.RUNNING)
    if ended.update(state=state, message=message, ended_at=timezone.now()):
        log.info("search_ended", search=str(search.pk), state=state.value, message=message)
        remove_spent_checkpoints()


def _rate_parameters(search: Search) -> None:
    Search.objects.filter(pk=search.pk).update(importances=importances(study_of(search), seen_trials(search)))
