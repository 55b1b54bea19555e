"""What each gate does: `begin` orders what it needs, `look` judges what has come of it.

Both may be repeated at any point: an order carries a key made of rollout and step, so that one which
was carried out before a crash is not carried out again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from aiplatform.contracts.inference import (
    EndpointInfo,
    OrderReplay,
    ReplicaState,
    SetShadow,
    SetTraffic,
    TrafficPurpose,
    TrafficShare,
)
from aiplatform.errors import NotFoundError
from monitoring.models.rollouts import RolloutStep
from monitoring.rollouts.comparisons import add_up_shadow
from monitoring.rollouts.desk import ACTOR, Desk
from monitoring.rollouts.gates.canary import VersionCounts, judge_canary
from monitoring.rollouts.gates.finding import Finding, missing
from monitoring.rollouts.gates.replay import compare_replay, judge_replay
from monitoring.rollouts.gates.shadow import judge_shadow
from monitoring.rollouts.gates.validation import judge_validation
from monitoring.rollouts.replays import to_request, truths_of
from monitoring.rollouts.vocabulary import StepKind, StepState, Verdict
from monitoring.rollouts.world import World

REFUSED_AFTER_S = 30.0  # a version that no process can load for so long is not waited for


class Gate(Protocol):
    """One kind of step."""

    def begin(self, desk: Desk, world: World, step: RolloutStep) -> dict[str, Any]:
        """Order what the gate needs; return what to remember of the step."""

    def look(self, desk: Desk, world: World, step: RolloutStep, info: EndpointInfo) -> Finding:
        """Judge what is there now."""

    def finish(self, desk: Desk, world: World, step: RolloutStep) -> None:
        """Take back what only this gate needed."""


class _Gate:
    def begin(self, desk: Desk, world: World, step: RolloutStep) -> dict[str, Any]:
        return {}

    def finish(self, desk: Desk, world: World, step: RolloutStep) -> None:
        return None


class ValidationGate(_Gate):
    """The registry's metrics of both versions."""

    def look(self, desk: Desk, world: World, step: RolloutStep, info: EndpointInfo) -> Finding:
        """Judge what the registry says."""
        mine, theirs = (
            world.training.get_model_version(desk.rollout.model, str(version)).metrics for version in desk.shares
        )
        return judge_validation(mine, theirs, desk.policy)


class LoadingGate(_Gate):
    """The challenger is loaded beside the champion, with no request of its own."""

    def begin(self, desk: Desk, world: World, step: RolloutStep) -> dict[str, Any]:
        """Order it."""
        order_step(desk, world, step, weight=0)
        return {}

    def look(self, desk: Desk, world: World, step: RolloutStep, info: EndpointInfo) -> Finding:
        """Judge what the serving processes say."""
        live = {replica.replica for replica in info.replicas}
        mine = [replica for replica in info.replicas if replica.version == desk.rollout.challenger]
        ready = {replica.replica for replica in mine if replica.state is ReplicaState.READY}
        failed = [replica for replica in mine if replica.state is ReplicaState.FAILED]
        evidence = {"processes": len(live), "ready": len(ready), "failed": len(failed)}
        elapsed_s = elapsed(desk, step)
        if live and ready == live:
            slower = _slower_engine(desk, info)
            if slower and elapsed_s < desk.policy.engine_patience_s:
                return Finding(verdict=Verdict.GO_ON, text=slower, evidence=evidence)
            text = f"loaded by {len(ready)} serving process{'es' if len(ready) > 1 else ''}"
            return Finding(verdict=Verdict.PASS, text=f"{text}; {slower}" if slower else text, evidence=evidence)
        is_refused = bool(live) and len(failed) == len(live) and elapsed_s >= REFUSED_AFTER_S
        if is_refused or elapsed_s >= desk.policy.loading_timeout_s:
            why = failed[0].message if failed else f"only {len(ready)} of {len(live)} processes have loaded it"
            return Finding(verdict=Verdict.FAIL, text=f"it cannot be loaded: {why}"[:1000], evidence=evidence)
        text = missing(len(ready), len(live), "serving processes") if live else "no serving process was heard lately"
        return Finding(verdict=Verdict.NOT_ENOUGH_DATA, text=text, evidence=evidence)


class ReplayGate(_Gate):
    """The last recorded requests through both versions."""

    def look(self, desk: Desk, world: World, step: RolloutStep, info: EndpointInfo) -> Finding:
        """Order the replay once there are enough requests; judge it when it is done."""
        try:
            report = world.inference.get_replay(desk.key("replay"))
        except NotFoundError:
            return self._order(desk, world)
        if report.state == "failed":
            return Finding(verdict=Verdict.FAIL, text=f"the replay failed: {report.message}"[:1000])
        if report.state != "done":
            return Finding(verdict=Verdict.GO_ON, text=f"the replay is {report.state}")
        results = {result.version: result for result in report.results}
        mine, theirs = (results[version] for version in desk.shares)
        labelled = world.read_requests(desk.rollout.endpoint, limit=4 * desk.policy.replay_requests)
        return judge_replay(compare_replay(mine, theirs, truths_of(labelled)), desk.policy)

    def _order(self, desk: Desk, world: World) -> Finding:
        need = desk.policy.replay_requests
        found = world.read_requests(desk.rollout.endpoint, limit=need)
        if len(found) < need:
            return Finding(verdict=Verdict.NOT_ENOUGH_DATA, text=missing(len(found), need, "recorded requests"))
        world.inference.order_replay(
            OrderReplay(
                key=desk.key("replay"), endpoint=desk.rollout.endpoint, versions=desk.shares,
                requests=tuple(to_request(request) for request in found),
            )
        )  # fmt: skip
        return Finding(verdict=Verdict.GO_ON, text=f"{need} requests are run through both versions")


class ShadowGate(_Gate):
    """Copies of live requests."""

    def begin(self, desk: Desk, world: World, step: RolloutStep) -> dict[str, Any]:
        """Order the shadow."""
        order_shadow(desk, world, desk.rollout.challenger, "shadow")
        return {}

    def look(self, desk: Desk, world: World, step: RolloutStep, info: EndpointInfo) -> Finding:
        """Judge what was compared."""
        champion, challenger = desk.shares
        seen = add_up_shadow(desk.rollout.endpoint, champion, challenger, since=step.started_at or desk.now)
        replay = desk.rollout.steps.filter(kind=StepKind.REPLAY, state=StepState.PASSED).first()
        is_known = replay is not None and replay.evidence.get("labelled", 0) >= max(1, desk.policy.min_labels)
        return judge_shadow(seen, desk.policy, elapsed_s=elapsed(desk, step), is_truth_known=is_known)

    def finish(self, desk: Desk, world: World, step: RolloutStep) -> None:
        """End the shadow."""
        order_shadow(desk, world, None, "shadow-end")


class CanaryGate(_Gate):
    """A share of the live requests."""

    def begin(self, desk: Desk, world: World, step: RolloutStep) -> dict[str, Any]:
        """Order the split; remember what both versions had done before."""
        order_step(desk, world, step, weight=step.weight)
        first = self._first(desk, step)
        slow_ms = first.baseline.get("slow_ms") if first else None
        if first is None:
            slow_ms = world.slow_limit_ms(desk.rollout.endpoint, desk.rollout.champion, now=desk.now)
        since = desk.now if first is None or first.started_at is None else first.started_at
        limits = {"slow_ms": slow_ms, "loss_scale": self._loss_scale(desk, world, step, since)}
        counts = [_count(desk, world, version, since, limits) for version in desk.shares]
        return {
            "baseline": {**limits, "champion": vars(counts[0]), "challenger": vars(counts[1])},
        }

    def look(self, desk: Desk, world: World, step: RolloutStep, info: EndpointInfo) -> Finding:
        """Judge what both did since the step began."""
        first = self._first(desk, step) or step
        since = first.started_at or desk.now
        limits = {name: step.baseline.get(name) for name in ("slow_ms", "loss_scale")}
        grown = [
            _count(desk, world, version, since, limits).since(VersionCounts.read(step.baseline.get(name, {})))
            for name, version in zip(("champion", "challenger"), desk.shares, strict=True)
        ]
        champion = grown[0] if step.weight < 100 else grown[0] + self._before(desk, step)
        found = judge_canary(
            champion, grown[1], desk.policy, elapsed_s=elapsed(desk, step), loss_scale=limits["loss_scale"]
        )
        evidence = {**found.evidence, **limits, "champion": vars(champion), "challenger": vars(grown[1])}
        return Finding(verdict=found.verdict, text=found.text, evidence=evidence)

    def _loss_scale(self, desk: Desk, world: World, step: RolloutStep, since: datetime) -> float | None:
        """Return the scale that an earlier step has; else what the labels say by now of the time before the canary."""
        for earlier in desk.rollout.steps.filter(kind=StepKind.CANARY, number__lt=step.number).order_by("number"):
            known: float | None = earlier.baseline.get("loss_scale")
            if known is not None:
                return known
        return world.error_scale(
            desk.rollout.endpoint, desk.rollout.champion, before=since, least=desk.policy.min_labels
        )

    def _first(self, desk: Desk, step: RolloutStep) -> RolloutStep | None:
        started = desk.rollout.steps.filter(kind=StepKind.CANARY, started_at__isnull=False, number__lt=step.number)
        return started.order_by("number").first()

    def _before(self, desk: Desk, step: RolloutStep) -> VersionCounts:
        total = VersionCounts()
        for earlier in desk.rollout.steps.filter(kind=StepKind.CANARY, number__lt=step.number):
            total += VersionCounts.read(earlier.evidence.get("champion", {}))
        return total


GATES: dict[str, Gate] = {
    StepKind.VALIDATION: ValidationGate(),
    StepKind.LOADING: LoadingGate(),
    StepKind.REPLAY: ReplayGate(),
    StepKind.SHADOW: ShadowGate(),
    StepKind.CANARY: CanaryGate(),
}


def order_step(desk: Desk, world: World, step: RolloutStep, *, weight: int) -> None:
    """Give the challenger its share, as a step to which nobody rolls back."""
    order_traffic(
        desk, world, f"step-{step.number}",
        {desk.rollout.champion: 100 - weight, desk.rollout.challenger: weight},
        TrafficPurpose.STEP, f"{step.name} of rollout {desk.rollout.pk}",
    )  # fmt: skip


def order_traffic(
    desk: Desk, world: World, what: str, weights: dict[int, int], purpose: TrafficPurpose, reason: str
) -> int:
    """Order a split, once; return its generation and count on it from now on.

    Raises: ConflictError if a newer order is there, or the endpoint is frozen.
    """
    receipt = world.inference.set_traffic(
        SetTraffic(
            endpoint=desk.rollout.endpoint,
            traffic=tuple(TrafficShare(version=version, weight=weight) for version, weight in sorted(weights.items())),
            actor=ACTOR,
            reason=reason,
            idempotency_key=desk.key(what),
            expected_generation=desk.rollout.generation,
            purpose=purpose,
        )
    )
    desk.write(generation=receipt.generation)
    return receipt.generation


def order_shadow(desk: Desk, world: World, version: int | None, what: str) -> None:
    """Begin or end the shadow, once."""
    world.inference.set_shadow(
        SetShadow(
            endpoint=desk.rollout.endpoint,
            version=version,
            actor=ACTOR,
            reason=f"rollout {desk.rollout.pk}",
            idempotency_key=desk.key(what),
            expected_generation=desk.rollout.generation if version is not None else None,
        )
    )


def elapsed(desk: Desk, step: RolloutStep) -> float:
    """Return seconds since a step began; none if the clock was put back."""
    began = step.started_at or desk.now
    return max(timedelta(0), desk.now - began).total_seconds()


def _slower_engine(desk: Desk, info: EndpointInfo) -> str:
    """Return why the two versions cannot be timed fairly yet; empty if they run on the same engines."""
    engines = {
        version: {replica.engine.partition(",")[0] for replica in info.replicas if replica.version == version}
        for version in desk.shares
    }
    mine, theirs = (", ".join(sorted(engines[version])) for version in desk.shares)
    return "" if mine == theirs else f"it runs on {theirs or 'no engine'}, the champion on {mine or 'no engine'}"


def _count(
    desk: Desk, world: World, version: int, since: datetime, limits: Mapping[str, float | None]
) -> VersionCounts:
    return world.count_version(
        desk.rollout.endpoint, version, since=since, now=desk.now, slow_ms=limits["slow_ms"],
        loss_scale=limits["loss_scale"],
    )  # fmt: skip
