"""The clock's job: looks at each rollout that goes on, and takes it as far as it may go now.

One process holds a rollout at a time, by a claim with a fence. Whatever dies where, the next look finds the
orders that were given by their keys: the endpoint says which order made its traffic, so an order of
our own that was given and not noted is taken over, and anybody else's ends the rollout.
"""

from __future__ import annotations

from typing import Any

import structlog

from aiplatform.contracts.inference import EndpointInfo, TrafficPurpose
from aiplatform.contracts.training import SetAlias
from aiplatform.errors import ConflictError, NotFoundError, PlatformError
from monitoring.models.rollouts import Rollout, RolloutStep
from monitoring.rollouts import metrics
from monitoring.rollouts.desk import ACTOR, TEXT_LENGTH, Desk, LostClaimError, claim_rollout, release_rollout
from monitoring.rollouts.gates.finding import Finding
from monitoring.rollouts.holds import describe_hold, find_hold
from monitoring.rollouts.selectors import list_active_rollouts
from monitoring.rollouts.steps import GATES, order_shadow, order_traffic
from monitoring.rollouts.vocabulary import ENTERED, PersonsOrder, RolloutState, StepState, Verdict
from monitoring.rollouts.world import World

log = structlog.get_logger(__name__)

MOST_MOVES = 8  # in one look
OVER_STATES = (StepState.PASSED, StepState.FAILED, StepState.SKIPPED)
CHAMPION = "champion"


def advance_rollouts(world: World, *, owner: str) -> int:
    """Look at every rollout that goes on; return how many this process could claim."""
    claimed = 0
    for pk in list_active_rollouts().values_list("pk", flat=True):
        desk = claim_rollout(pk, owner=owner, now=world.clock())
        if desk is None:
            continue
        claimed += 1
        try:
            advance(desk, world)
        except LostClaimError:
            log.warning("rollout_claim_lost", rollout=pk)
        except PlatformError as error:
            log.warning("rollout_waits", rollout=pk, error=error.message)
            _say_safely(desk, f"trying again: {error.message}")
        finally:
            release_rollout(desk)
    return claimed


def advance(desk: Desk, world: World) -> None:
    """Take a claimed rollout as far as it goes; raises a PlatformError if somebody who is needed is away."""
    for _ in range(MOST_MOVES):
        desk.now = world.clock()
        if not _move(desk, world):
            return


def _move(desk: Desk, world: World) -> bool:
    """Do one thing; say whether there may be more to do at once."""
    rollout = desk.rollout
    info = _endpoint(desk, world)
    if info is None or not _is_still_ours(desk, world, info):
        return False
    if rollout.state == RolloutState.RUNNING and rollout.order:
        return _obey(desk)
    hold = find_hold(rollout.endpoint)
    if hold is not None and not _is_a_persons(rollout):
        desk.wait_for(describe_hold(hold))
        return False
    try:
        match rollout.state:
            case RolloutState.ROLLING_BACK:
                return _roll_back(desk, world, info)
            case RolloutState.PROMOTING:
                return _promote(desk, world)
            case _:
                return _step(desk, world, info)
    except ConflictError as error:
        if _is_still_ours(desk, world, world.inference.get_endpoint(rollout.endpoint)):
            desk.wait_for(error.message)  # frozen, or what a gate needs is taken
        return False


def _endpoint(desk: Desk, world: World) -> EndpointInfo | None:
    try:
        return world.inference.get_endpoint(desk.rollout.endpoint)
    except NotFoundError:
        desk.end(RolloutState.SUPERSEDED, "the endpoint is gone", reason="the endpoint was deleted")
        return None


def _is_still_ours(desk: Desk, world: World, info: EndpointInfo) -> bool:
    if info.traffic_generation == desk.rollout.generation:
        return True
    if info.traffic_key.startswith(desk.prefix):  # given before a crash, and not noted
        desk.write(generation=info.traffic_generation)
        return True
    if info.shadow == desk.rollout.challenger:
        order_shadow(desk, world, None, "shadow-end")
    traffic = ", ".join(f"version {share.version}: {share.weight}%" for share in info.traffic)
    desk.end(
        RolloutState.SUPERSEDED, f"somebody gave a newer order ({traffic}), which is left as it is", tone="warn",
        reason=f"a newer order (generation {info.traffic_generation})",
    )  # fmt: skip
    return False


def _obey(desk: Desk) -> bool:
    rollout = desk.rollout
    step = _present_step(rollout)
    if rollout.order == PersonsOrder.ABORT:
        left = {"state": StepState.SKIPPED, "ended_at": desk.now}
        reason = f"aborted by {rollout.ordered_by}"
        desk.turn_back(reason, RolloutState.ABORTED, step=step, step_changes=left, actor=rollout.ordered_by)
        return True
    rollout.steps.filter(state__in=(StepState.PENDING, *ENTERED)).update(state=StepState.SKIPPED, ended_at=desk.now)
    desk.write(
        state=RolloutState.PROMOTING,
        outcome=RolloutState.PROMOTED,
        order="",
        waiting_for="",
        reason=f"promoted by {rollout.ordered_by}",
        event=f"{rollout.ordered_by} promotes version {rollout.challenger} without the gates that are left",
        tone="warn",
        actor=rollout.ordered_by,
    )
    return True


def _step(desk: Desk, world: World, info: EndpointInfo) -> bool:
    step = _present_step(desk.rollout)
    if step is None:
        desk.write(state=RolloutState.PROMOTING, waiting_for="", event="all gates are passed", tone="good")
        return True
    if step.state == StepState.PENDING:
        return _begin(desk, world, info, step)
    found = GATES[step.kind].look(desk, world, step, info)
    match found.verdict:
        case Verdict.FAIL:
            changes = _changes(desk, step, found, StepState.FAILED)  # with the way back in one write, or neither
            desk.turn_back(f"{step.name}: {found.text}", RolloutState.ROLLED_BACK, step=step, step_changes=changes)
            return True
        case Verdict.PASS | Verdict.SKIP:
            return _pass(desk, world, step, found)
        case _:
            is_short = found.verdict is Verdict.NOT_ENOUGH_DATA
            _note(desk, step, found, StepState.WAITING if is_short else StepState.RUNNING)
            desk.wait_for(f"{step.name}: {found.text}")
            return False


def _begin(desk: Desk, world: World, info: EndpointInfo, step: RolloutStep) -> bool:
    stopped = _why_stopped(desk, info)
    if stopped:
        desk.wait_for(stopped)
        return False
    remembered = GATES[step.kind].begin(desk, world, step)
    desk.write(
        step=step, step_changes={"state": StepState.RUNNING, "started_at": desk.now, **remembered},
        waiting_for="", event=f"{step.name} begins",
    )  # fmt: skip
    return True


def _pass(desk: Desk, world: World, step: RolloutStep, found: Finding) -> bool:
    GATES[step.kind].finish(desk, world, step)
    state = StepState.PASSED if found.verdict is Verdict.PASS else StepState.SKIPPED
    _note(desk, step, found, state, event=f"{step.name} {state.value}: {found.text}", tone="good")
    return True


def _note(desk: Desk, step: RolloutStep, found: Finding, state: StepState, *, event: str = "", tone: str = "") -> None:
    changes = _changes(desk, step, found, state)
    if state in OVER_STATES or any(getattr(step, name) != value for name, value in changes.items()):
        desk.write(step=step, step_changes=changes, event=event, tone=tone)


def _changes(desk: Desk, step: RolloutStep, found: Finding, state: StepState) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "state": state, "verdict": found.verdict, "text": found.text[:TEXT_LENGTH], "evidence": dict(found.evidence),
    }  # fmt: skip
    if state in OVER_STATES:
        changes["ended_at"] = desk.now
        metrics.STEPS.labels(step.kind, state.value).inc()
    return changes


def _roll_back(desk: Desk, world: World, info: EndpointInfo) -> bool:
    rollout = desk.rollout
    if info.shadow == rollout.challenger:
        order_shadow(desk, world, None, "shadow-end")
    if info.traffic_key != desk.key("restore"):
        before = {int(share["version"]): int(share["weight"]) for share in rollout.traffic_before}
        order_traffic(desk, world, "restore", before, TrafficPurpose.RESTORE, rollout.reason)
        return True
    late = [replica.replica for replica in info.replicas if replica.generation < info.traffic_generation]
    if late:
        desk.wait_for(f"{len(set(late))} serving processes have not followed yet")
        return False
    took_s = (desk.now - (rollout.failed_at or desk.now)).total_seconds()
    outcome = RolloutState(rollout.outcome or RolloutState.ROLLED_BACK)
    desk.end(outcome, f"version {rollout.champion} has all requests again, after {took_s:.1f} s", tone="warn")
    return False


def _promote(desk: Desk, world: World) -> bool:
    rollout = desk.rollout
    if rollout.is_paused and not _is_a_persons(rollout):
        desk.wait_for(f"paused by {rollout.paused_by}")
        return False
    reason = f"promoted by rollout {rollout.pk}"
    order_traffic(desk, world, "promotion", {rollout.challenger: 100}, TrafficPurpose.PROMOTION, reason)
    world.training.set_alias(
        SetAlias(model=rollout.model, alias=CHAMPION, version=rollout.challenger, actor=f"{ACTOR} {rollout.pk}")
    )
    desk.end(
        RolloutState.PROMOTED, f"version {rollout.challenger} is the champion", tone="good",
        reason=rollout.reason or "all gates were passed",
    )  # fmt: skip
    return False


def _is_a_persons(rollout: Rollout) -> bool:
    """Say whether a person has ordered what is being done: no hold stops that."""
    return rollout.outcome in (RolloutState.ABORTED, RolloutState.PROMOTED)


def _why_stopped(desk: Desk, info: EndpointInfo) -> str:
    if desk.rollout.is_paused:
        return f"paused by {desk.rollout.paused_by}"
    if info.is_frozen:
        return f"the endpoint is frozen: {info.frozen_reason}"
    return ""


def _present_step(rollout: Rollout) -> RolloutStep | None:
    return rollout.steps.filter(state__in=(StepState.PENDING, *ENTERED)).order_by("number").first()


def _say_safely(desk: Desk, text: str) -> None:
    try:
        desk.wait_for(text)
    except LostClaimError:
        log.warning("rollout_claim_lost", rollout=desk.rollout.pk)
