"""Metrics that cost a fraction of a microsecond: counted in memory, handed to Prometheus twice a second.

A `prometheus_client` metric in multi-process mode packs and writes a memory-mapped file at each
change, some microseconds each; a prediction changes seven of them. Here a change is an addition under a
lock. What is not handed over yet is at most FLUSH_INTERVAL_S old; `/metrics` hands over what its own process
has, and a process that ends in good order all it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import Counter, Gauge, Histogram

FLUSH_INTERVAL_S = 0.5
STEP_EVENTS = 128  # looked at in one go: some hundredths of a millisecond

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
        bounds = self._bounds
        with self._lock:
            counts = self._counts
            for value in values:
                counts[bisect_left(bounds, value)] += 1
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

    `consume` gets the values of a key since the last time, in order. Whoever adds the last of STEP_EVENTS calls it: a
    thread that did so now and then for some thousands would keep the interpreter from the event loop for milliseconds,
    and with it all who wait for an answer.
    """

    __slots__ = ("_consume", "_events")

    def __init__(self, consume: Callable[[Key, Sequence[float]], None]) -> None:
        self._consume = consume
        self._events: deque[tuple[Key, float]] = deque()
        _register(self)

    def add(self, event: tuple[Key, float]) -> None:
        """Keep a key and its value."""
        self._events.append(event)
        if len(self._events) >= STEP_EVENTS:
            with contextlib.suppress(OSError):  # a full disk costs the count, not who happens to be served
                self.flush()

    def flush(self) -> None:
        """Hand over what there is."""
        groups: dict[Key, list[float]] = {}
        take = self._events.popleft
        with contextlib.suppress(IndexError):  # another thread hands over as well
            for _ in range(len(self._events)):
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


def flush_metrics() -> None:
    """Hand over all that this process has counted."""
    for buffer in _registered():
        if isinstance(buffer, HotEvents):  # these feed the others, and may make some
            buffer.flush()
    for buffer in _registered():
        buffer.flush()


def _registered() -> list[Buffered]:
    with _registering:
        return list(_buffers)


class MetricsFlusher:
    """Hands over now and then while a process serves, in a thread of its own; `start` and `stop` as a lifespan does."""

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
                flush_metrics()
