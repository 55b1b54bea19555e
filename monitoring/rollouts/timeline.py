"""All that happened to an endpoint on one line of time: traffic, alerts, actions, trainings, rollouts, holds.

What another service tells is missing, and said to be, while it is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from django.db.models import Q
from django.urls import NoReverseMatch, reverse

from aiplatform.contracts.inference import EndpointHistory, EndpointInfo
from aiplatform.contracts.training import RunList
from aiplatform.errors import NotFoundError, PlatformError
from monitoring.alerts.vocabulary import EventKind
from monitoring.models.alerts import ActionRun, AlertEvent
from monitoring.models.retrainings import Retraining
from monitoring.models.rollouts import AutomationHold, RolloutEvent

T = TypeVar("T")
LIMIT = 300
GOOD, WARN, BAD, PLAIN = "good", "warn", "bad", ""
_SHOWN_EVENTS = (EventKind.FIRED, EventKind.RESOLVED, EventKind.ACKNOWLEDGED)
_KIND_TONES = {"rollback": WARN, "switch_off": BAD, "freeze": WARN}


class Inference(Protocol):
    """Who knows an endpoint's traffic and its history."""

    def get_endpoint(self, name: str) -> EndpointInfo: ...
    def get_history(self, name: str) -> EndpointHistory: ...


class Training(Protocol):
    """Who knows the runs of a model."""

    def list_runs(self, model: str) -> RunList: ...


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One thing that happened."""

    at: datetime
    lane: str  # traffic, alert, action, training, rollout, hold
    text: str
    tone: str = PLAIN
    actor: str = ""
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Moments, newest first; `gaps` says what could not be asked. `info` is the endpoint now."""

    endpoint: str
    moments: tuple[Moment, ...]
    gaps: tuple[str, ...]
    info: EndpointInfo | None


def build_timeline(endpoint: str, *, inference: Inference, training: Training, limit: int = LIMIT) -> Timeline:
    """Return what happened to an endpoint.

    Raises: NotFoundError if nothing is known under that name.
    """
    gaps: list[str] = []
    info = _ask(lambda: inference.get_endpoint(endpoint), gaps, "inference")
    history = _ask(lambda: inference.get_history(endpoint), gaps, "inference")
    runs = _ask(lambda: training.list_runs(info.model), gaps, "training") if info else None
    moments = [*_traffic(history), *_trainings(runs), *_alerts(endpoint), *_actions(endpoint), *_rollouts(endpoint)]
    moments += [*_retrainings(endpoint), *_holds(endpoint)]
    if not moments and info is None and not gaps:
        raise NotFoundError(f"nothing is known of an endpoint '{endpoint}'")
    newest = sorted(moments, key=lambda moment: moment.at, reverse=True)[:limit]
    return Timeline(endpoint=endpoint, moments=tuple(newest), gaps=tuple(dict.fromkeys(gaps)), info=info)


def _ask(ask: Callable[[], T], gaps: list[str], service: str) -> T | None:
    try:
        return ask()
    except NotFoundError:
        return None
    except PlatformError as error:
        gaps.append(f"{service}: {error.message}")
        return None


def _traffic(history: EndpointHistory | None) -> Iterator[Moment]:
    for change in history.changes if history else ():
        split = ", ".join(f"version {share.version}: {share.weight}%" for share in change.traffic)
        because = f" ({change.reason})" if change.reason else ""
        yield Moment(
            at=datetime.fromisoformat(change.at), lane="traffic", tone=_KIND_TONES.get(change.kind, PLAIN),
            text=f"{change.kind.replace('_', ' ')}: {split or 'none'}{because}", actor=change.actor,
        )  # fmt: skip


def _trainings(runs: RunList | None) -> Iterator[Moment]:
    for run in runs.runs if runs else ():
        url = _url("admin:training_run_change", run.run_id)
        began = datetime.fromisoformat(run.created_at)
        yield Moment(at=began, lane="training", text=f"{run.recipe} ordered", actor=run.actor, url=url)
        if run.ended_at:
            made = f": version {run.version}" if run.version else f": {run.message}" if run.message else ""
            tone = GOOD if run.version else BAD
            ended = datetime.fromisoformat(run.ended_at)
            yield Moment(at=ended, lane="training", text=f"{run.recipe} {run.state}{made}", tone=tone, url=url)


def _alerts(endpoint: str) -> Iterator[Moment]:
    tones = {EventKind.FIRED.value: BAD, EventKind.RESOLVED.value: GOOD}
    events = AlertEvent.objects.filter(alert__endpoint=endpoint, kind__in=_SHOWN_EVENTS).select_related("alert")
    for event in events.order_by("-at")[:LIMIT]:
        yield Moment(
            at=event.at, lane="alert", tone=tones.get(event.kind, PLAIN), actor=event.actor,
            text=f"{event.alert.rule_name} {event.kind}, version {event.alert.version}: {event.text}",
            url=_url("admin:monitoring_alert_change", event.alert_id),
        )  # fmt: skip


def _actions(endpoint: str) -> Iterator[Moment]:
    for run in ActionRun.objects.filter(endpoint=endpoint).select_related("alert").order_by("-created_at")[:LIMIT]:
        tone = {"succeeded": GOOD, "failed": BAD, "refused": WARN}.get(run.state, PLAIN)
        because = f": {run.error}" if run.error else ""
        yield Moment(
            at=run.finished_at or run.created_at, lane="action", tone=tone, actor=f"rule {run.alert.rule_name}",
            text=f"{run.get_kind_display()}, because of version {run.version}: {run.get_state_display()}{because}",
            url=_url("admin:monitoring_alert_change", run.alert_id),
        )  # fmt: skip


def _rollouts(endpoint: str) -> Iterator[Moment]:
    events = RolloutEvent.objects.filter(rollout__endpoint=endpoint).order_by("-at", "-pk")
    for event in events[:LIMIT]:
        yield Moment(
            at=event.at, lane="rollout", tone=event.tone, text=event.text, actor=event.actor,
            url=_url("admin:monitoring_rollout_change", event.rollout_id),
        )  # fmt: skip


def _retrainings(endpoint: str) -> Iterator[Moment]:
    for row in Retraining.objects.filter(endpoint=endpoint)[:LIMIT]:
        yield Moment(
            at=row.created_at, lane="action", actor=row.ordered_by,
            text=f"retraining of version {row.base_version} ordered: {row.get_state_display()}. {row.text}",
            tone=BAD if row.state == "failed" else PLAIN,
        )  # fmt: skip


def _holds(endpoint: str) -> Iterator[Moment]:
    for hold in AutomationHold.objects.filter(Q(endpoint=endpoint) | Q(endpoint=""))[:LIMIT]:
        where = "" if hold.endpoint else " everywhere"
        yield Moment(
            at=hold.placed_at, lane="hold", tone=WARN, actor=hold.placed_by, text=f"held{where}: {hold.reason}"
        )
        if hold.lifted_at:
            yield Moment(at=hold.lifted_at, lane="hold", actor=hold.lifted_by, text=f"hold lifted{where}")


def _url(name: str, pk: object) -> str:
    try:
        return reverse(name, args=[pk])
    except NoReverseMatch:
        return ""
