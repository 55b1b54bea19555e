"""The lane on which copies of live requests wait for their shadows: bounded, slow on purpose, dropped first.

The hot path appends a reference to the arrays and goes on; it wakes nobody. One thread of the lowest
priority takes the copies one by one, only while no live rows wait, and rests after each, so that
all shadows of a process together take at most a set share of one core. What does not fit, or has waited too
long, is counted as dropped. `docs/rollouts.md` has the measurement.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from aiplatform.errors import PlatformError
from inference.engines import Arrays
from inference.loaded import LoadedVersion
from inference.protocols.tensor_rules import check_inputs
from inference.routing_table import Route
from inference.scheduler import Priority
from inference.shadow.pace import Pace, lower_priority
from inference.shadow.tally import Pair, Tally

log = structlog.get_logger(__name__)

LOOK_S = 0.02
LONGEST_WAIT_S = 2.0  # an older copy says little of the present load, and is dropped
DEADLINE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class LaneLimits:
    """How much may wait, and which share of one core the lane may take."""

    requests: int = 64
    queue_bytes: int = 32 * 1024 * 1024
    share: float = 0.1


class ShadowMirror:
    """What a champion's loaded version holds while it has a shadow."""

    def __init__(self, lane: ShadowLane, champion: LoadedVersion, challenger: LoadedVersion) -> None:
        self.lane = lane
        self.champion = champion
        self.challenger = challenger
        self.pair = Pair(champion.endpoint, champion.version, challenger.version)

    def offer(self, inputs: Arrays, outputs: Arrays, latency_s: float) -> None:
        """Keep a copy by reference, or count it as dropped."""
        self.lane.add(Copy(self, inputs, outputs, latency_s * 1000, time.monotonic()))


@dataclass(slots=True, frozen=True)
class Copy:
    """One answered request; nobody changes its arrays."""

    mirror: ShadowMirror
    inputs: Arrays
    outputs: Arrays
    latency_ms: float
    taken_at: float  # monotonic seconds

    @property
    def size_bytes(self) -> int:
        """Return what it keeps in memory."""
        return sum(array.nbytes for array in (*self.inputs.values(), *self.outputs.values()))


class ShadowLane:
    """Runs the copies of one process; a thread of its own only while there is a shadow."""

    def __init__(self, *, tally: Tally, limits: LaneLimits) -> None:
        self._tally = tally
        self._limits = limits
        self._copies: deque[Copy] = deque()
        self._bytes_in = 0  # counted by those who add and by the one who takes; put right when it is empty
        self._bytes_out = 0
        self._mirrors: dict[str, list[ShadowMirror]] = {}
        self._pace: Pace | None = None
        self._thread: threading.Thread | None = None

    def add(self, copy: Copy) -> None:
        """Keep a copy if there is room; never blocks, never raises."""
        size = copy.size_bytes
        has_room = len(self._copies) < self._limits.requests
        if not has_room or self._bytes_in - self._bytes_out + size > self._limits.queue_bytes:
            self._tally.count_dropped(copy.mirror.pair)
            return
        self._bytes_in += size
        self._copies.append(copy)

    def follow(self, shadows: Mapping[str, int], routes: Mapping[str, Route]) -> None:
        """Give the versions that answer their mirrors, as routes and shadows are now; take old ones away."""
        for endpoint in self._mirrors.keys() - shadows.keys():
            self._detach(self._mirrors.pop(endpoint))
        for endpoint, challenger in shadows.items():
            wanted = _wanted_pairs(routes.get(endpoint), challenger)
            present = self._mirrors.get(endpoint, [])
            if [(m.champion, m.challenger) for m in present] == wanted:
                continue
            self._detach(present)
            self._mirrors[endpoint] = [ShadowMirror(self, mine, theirs) for mine, theirs in wanted]
            for mirror in self._mirrors[endpoint]:
                mirror.champion.mirror = mirror
        if any(self._mirrors.values()):
            self._ensure_thread()

    def stop(self, timeout_s: float) -> None:
        """Run no more copies."""
        self.follow({}, {})
        if self._pace is not None and self._thread is not None:
            self._pace.stop()
            self._thread.join(timeout_s)

    def _detach(self, mirrors: list[ShadowMirror]) -> None:
        for mirror in mirrors:
            mirror.champion.mirror = None

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._pace = Pace(share=self._limits.share)
        self._thread = threading.Thread(target=self._run, args=(self._pace,), name="shadow", daemon=True)
        self._thread.start()

    def _run(self, pace: Pace) -> None:
        lower_priority()
        while not pace.is_stopping:
            if not self._copies:
                self._bytes_out = self._bytes_in
                pace.wait(LOOK_S)
                continue
            copy = self._copies.popleft()
            self._bytes_out += copy.size_bytes
            self._run_one(copy, pace)

    def _run_one(self, copy: Copy, pace: Pace) -> None:
        mirror = copy.mirror
        left_s = copy.taken_at + LONGEST_WAIT_S - time.monotonic()
        is_late = left_s <= 0 or not pace.wait_while(lambda: mirror.champion.queue.depth > 0, longest_s=left_s)
        if is_late or mirror.champion.mirror is not mirror or not mirror.challenger.hold():
            self._tally.count_dropped(mirror.pair)
            return
        try:
            with pace.step():
                self._compare(copy)
        except PlatformError as error:
            self._tally.count_error(mirror.pair, error.message)
        except Exception as error:  # whatever a challenger does, the lane goes on
            log.exception("shadow_failed", endpoint=mirror.pair.endpoint, version=mirror.pair.challenger)
            self._tally.count_error(mirror.pair, f"{type(error).__name__}: {error}")
        finally:
            mirror.challenger.release()

    def _compare(self, copy: Copy) -> None:
        champion, challenger = copy.mirror.champion, copy.mirror.challenger
        check_inputs(challenger.manifest.signature, copy.inputs)
        started = time.monotonic()
        answered = challenger.queue.run_blocking(copy.inputs, deadline=started + DEADLINE_S, priority=Priority.SHADOW)
        latency_ms = (time.monotonic() - started) * 1000
        self._tally.count_answer(
            copy.mirror.pair,
            copy.outputs,
            answered,
            (champion.manifest.labels, challenger.manifest.labels),
            (copy.latency_ms, latency_ms),
        )


def _wanted_pairs(route: Route | None, challenger: int) -> list[tuple[LoadedVersion, LoadedVersion]]:
    shadow = route.versions.get(challenger) if route else None
    if route is None or shadow is None or route.off_reason:
        return []
    answering = [v for v, weight in sorted(route.weights.items()) if weight > 0 and v != challenger]
    return [(route.versions[version], shadow) for version in answering if version in route.versions]
