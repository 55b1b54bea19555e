"""Who is next, and why the others wait: one walk through the queue, the same for starting and for explaining.

The order is priority, then what a requester has used lately (least first), then age. Waiting raises the priority by
one for each `aging_s`, so nothing waits for ever behind what keeps coming. A run that does not fit lets smaller ones
pass it for `backfill_s`, counted from the first that does; after that the machine is kept for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from training.resources.amounts import (
    Ask,
    Estimate,
    Grant,
    HostState,
    Need,
    can_ever_fit,
    fits,
    grant_on,
    need_on,
    with_holder,
)
from training.resources.wording import explain_kept, explain_shortage, explain_too_large, place_text


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A run in the queue. `passed_at`: when a smaller run was first let past it."""

    run_id: UUID
    short_id: str
    requester: str
    priority: int
    queued_at: datetime
    ask: Ask = field(default_factory=Ask)
    estimate: Estimate = field(default_factory=Estimate)
    passed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How long is how long, seconds."""

    aging_s: float
    backfill_s: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the queue says of one run: it may start on `host` with `grant`, or waits for `reason`.

    `position` counts from 1; `passes` are the runs before it that it overtakes.
    """

    run_id: UUID
    position: int
    reason: str
    host: str = ""
    grant: Grant | None = None
    passes: tuple[UUID, ...] = ()


def effective_priority(one: Waiting, now: datetime, aging_s: float) -> int:
    """Return the priority, raised by one for each `aging_s` of waiting."""
    waited_s = max(0.0, (now - one.queued_at).total_seconds())
    return one.priority + (int(waited_s // aging_s) if aging_s > 0 else 0)


def in_order(queue: Iterable[Waiting], used: Mapping[str, float], now: datetime, *, aging_s: float) -> list[Waiting]:
    """Return the queue with the next run first. `used`: what each requester has used lately."""
    return sorted(
        queue,
        key=lambda one: (
            -effective_priority(one, now, aging_s),
            used.get(one.requester, 0.0),
            one.queued_at,
            one.run_id.hex,
        ),
    )


def plan(
    queue: Sequence[Waiting], hosts: Sequence[HostState], now: datetime, policy: Policy, *, here: str = ""
) -> list[Decision]:
    """Return a decision for each run of an ordered queue. `here`: the machine that is asking, tried first."""
    return list(walk(queue, hosts, now, policy, here=here))


def walk(
    queue: Sequence[Waiting], hosts: Sequence[HostState], now: datetime, policy: Policy, *, here: str = ""
) -> Iterator[Decision]:
    """Yield the decisions of `plan` one by one, for who looks for one of them."""
    steps = _Walk(hosts, now, policy, here)
    for position, one in enumerate(queue, start=1):
        yield steps.decide(one, position)


class _Walk:
    """The machines as they are after each run that may start, and who before could not."""

    def __init__(self, hosts: Sequence[HostState], now: datetime, policy: Policy, here: str) -> None:
        self._hosts = {host.name: host for host in sorted(hosts, key=lambda host: (host.name != here, host.name))}
        self._now, self._policy = now, policy
        self._blocked: dict[str, list[Waiting]] = {name: [] for name in self._hosts}
        self._kept: dict[str, Waiting] = {}

    def decide(self, one: Waiting, position: int) -> Decision:
        """Return what becomes of the next run of the queue."""
        needs = {name: need_on(one.ask, one.estimate, host.capacity) for name, host in self._hosts.items()}
        able = [name for name in needs if self._is_able(name, needs[name])]
        for name in able:
            if name not in self._kept and fits(needs[name], self._hosts[name]):
                return self._start(one, position, name, needs[name])
        reason = self._why(one, able, needs)
        for name in able:
            self._block(one, name)
        return Decision(run_id=one.run_id, position=position, reason=f"{reason}; {place_text(position)} in the queue")

    def _is_able(self, name: str, need: Need) -> bool:
        host = self._hosts[name]
        return host.is_cluster or can_ever_fit(need, host.capacity)

    def _start(self, one: Waiting, position: int, name: str, need: Need) -> Decision:
        host = self._hosts[name]
        grant = grant_on(need, host)
        self._hosts[name] = with_holder(host, f"run {one.short_id}, before it in the queue,", grant)
        return Decision(
            run_id=one.run_id,
            position=position,
            reason=f"there is room on {name.partition('/')[0]}: it starts when a queue worker answers",
            host=name,
            grant=grant,
            passes=tuple(before.run_id for before in self._blocked[name]),
        )

    def _block(self, one: Waiting, name: str) -> None:
        self._blocked[name].append(one)
        if one.passed_at is not None and (self._now - one.passed_at).total_seconds() >= self._policy.backfill_s:
            self._kept.setdefault(name, one)

    def _why(self, one: Waiting, able: Sequence[str], needs: Mapping[str, Need]) -> str:
        if not self._hosts:
            return "waits for a training machine: none has been heard of lately"
        if not able:
            return explain_too_large(one.ask, [host.capacity for host in self._hosts.values()])
        full = [name for name in able if not fits(needs[name], self._hosts[name])]
        if full:
            name = max(full, key=lambda found: self._hosts[found].free_cores)
            return explain_shortage(needs[name], self._hosts[name])
        kept = self._kept[able[0]]
        return explain_kept(kept.short_id, self._policy.backfill_s)
