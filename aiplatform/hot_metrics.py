"""Metrics that cost a fraction of a microsecond: counted in memory, handed to Prometheus each second.

A `prometheus_client` metric in multi-process mode packs and writes a memory-mapped file at each
change, some microseconds each; a prediction changes seven of them. Here a change is an addition under a
lock. What is not handed over yet is at most FLUSH_INTERVAL_S old; `/metrics` hands over what its own process
has, and a process that ends in good order all it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from bisect import bisect_left
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import Counter, Gauge, Histogram

FLUSH_INTERVAL_S = 0.5
MAX_EVENTS = 1_000_000  # waiting to be looked at; a minute of them at full speed
STEP_EVENTS = 512  # looked at in one go: some tenths of a millisecond
REST_S = 0.0005  # after each step of the thread beside the event loop

Key = TypeVar("Key", bound=Hashable)


class Buffered(Protocol):
    """Something to hand over."""

    def flush(self) -> None:
        """Hand over what has been counted since the last time."""


class HotCounter:
    """Counts for one child (`metric.labels(...)`) of a Prometheus counter."""

    __slots__ = ("_child", "_count", "_lock")

    def __init__(self, child: Counter) -> None:
        self._child = child
        self._count = 0.0
        self._lock = threading.Lock()
        _register(self)

    def inc(self, amount: float = 1) -> None:
        """Count."""
        with self._lock:
            self._count += amount

    def flush(self) -> None:
        """Hand over."""
        with self._lock:
            count, self._count = self._count, 0.0
        if count:
            self._child.inc(count)


class HotHistogram:
    """Observes for one child of a Prometheus histogram."""

    __slots__ = ("_bounds", "_child", "_counts", "_lock", "_sum")

    def __init__(self, child: Histogram) -> None:
        self._child: Any = child
        self._bounds: list[float] = list(self._child._upper_bounds)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._lock = threading.Lock()
        _register(self)

    def observe(self, value: float) -> None:
        """Count a value in the bucket it falls into."""
        place = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[place] += 1
            self._sum += value

    def observe_many(self, values: Sequence[float]) -> None:
        """Count values, each in the bucket it falls into."""
        places = Counts(bisect_left(self._bounds, value) for value in values)
        with self._lock:
            for place, count in places.items():
                self._counts[place] += count
            self._sum += sum(values)

    def flush(self) -> None:
        """Hand over."""
        with self._lock:
            counts, self._counts = self._counts, [0] * len(self._bounds)
            total, self._sum = self._sum, 0.0
        if any(counts):
            for bucket, count in zip(self._child._buckets, counts, strict=True):
                if count:
                    bucket.inc(count)
            self._child._sum.inc(total)


class HotGauge:
    """Sets one child of a Prometheus gauge; only the last value is handed over."""

    __slots__ = ("_child", "_is_new", "_value")

    def __init__(self, child: Gauge) -> None:
        self._child = child
        self._value = 0.0
        self._is_new = False
        _register(self)

    def set(self, value: float) -> None:
        """Remember a value."""
        self._value = value
        self._is_new = True

    def flush(self) -> None:
        """Hand over."""
        if self._is_new:
            self._is_new = False
            self._child.set(self._value)


class HotEvents(Generic[Key]):
    """Keeps values by key, to be looked at many at a time: what happens with each request costs one append.

    `consume` gets the values of a key since the last time, in order; it is called by whoever hands over.
    """

    __slots__ = ("_consume", "_events", "add")

    def __init__(self, consume: Callable[[Key, Sequence[float]], None]) -> None:
        self._consume = consume
        self._events: deque[tuple[Key, float]] = deque(maxlen=MAX_EVENTS)
        self.add: Callable[[tuple[Key, float]], None] = self._events.append
        _register(self)

    def flush(self, rest_s: float = 0.0) -> None:
        """Hand over; with a rest after each STEP_EVENTS, so that who serves meanwhile need not wait for all."""
        left = len(self._events)
        while left > 0 and self._events:
            self._flush_some(min(left, STEP_EVENTS))
            left -= STEP_EVENTS
            if rest_s and left > 0:
                time.sleep(rest_s)

    def _flush_some(self, count: int) -> None:
        groups: dict[Key, list[float]] = {}
        take = self._events.popleft
        with contextlib.suppress(IndexError):  # another thread hands over as well
            for _ in range(count):
                key, value = take()
                if key in groups:
                    groups[key].append(value)
                else:
                    groups[key] = [value]
        for key, values in groups.items():
            self._consume(key, values)


_buffers: list[Buffered] = []
_registering = threading.Lock()


def _register(buffer: Buffered) -> None:
    with _registering:
        _buffers.append(buffer)


def flush_metrics(*, rest_s: float = 0.0) -> None:
    """Hand over all that this process has counted; a thread that is in no hurry rests after each step."""
    for buffer in _registered():
        if isinstance(buffer, HotEvents):  # these feed the others, and may make some
            buffer.flush(rest_s)
    for buffer in _registered():
        buffer.flush()


def _registered() -> list[Buffered]:
    with _registering:
        return list(_buffers)


class MetricsFlusher:
    """Hands over each second while a process serves, in a thread of its own; `start` and `stop` as a lifespan does."""

    def __init__(self, interval_s: float = FLUSH_INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._is_stopping = threading.Event()
        self._flusher: threading.Thread | None = None

    async def start(self) -> None:
        """Begin."""
        self._is_stopping.clear()
        self._flusher = threading.Thread(target=self._run, name="metrics-flush", daemon=True)
        self._flusher.start()

    async def stop(self) -> None:
        """Hand over the rest."""
        self._is_stopping.set()
        if self._flusher is not None:
            await asyncio.to_thread(self._flusher.join, 5.0)
        flush_metrics()

    def _run(self) -> None:
        while not self._is_stopping.wait(self._interval_s):
            with contextlib.suppress(OSError):  # a full disk: what could not be written is lost, not the thread
                flush_metrics(rest_s=REST_S)
