"""Metrics counted in memory arrive in Prometheus as if they had been counted there."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter as Counts
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from aiplatform.hot_metrics import (
    STEP_EVENTS,
    HotCounter,
    HotEvents,
    HotGauge,
    HotHistogram,
    MetricsFlusher,
    flush_metrics,
)

BUCKETS = (0.1, 1.0, 10.0)
VALUES = (0.05, 0.1, 0.5, 1.0, 3.0, 10.0, 11.0)


def test_a_histogram_counts_in_the_same_buckets_as_prometheus_own() -> None:
    registry = CollectorRegistry()
    ours = Histogram("ours", "", ["a"], buckets=BUCKETS, registry=registry).labels("x")
    theirs = Histogram("theirs", "", ["a"], buckets=BUCKETS, registry=registry).labels("x")
    hot = HotHistogram(ours)
    for value in VALUES:
        hot.observe(value)
        theirs.observe(value)
    hot.flush()
    hot.flush()
    for bound in ("0.1", "1.0", "10.0", "+Inf"):
        found = registry.get_sample_value("ours_bucket", {"a": "x", "le": bound})
        assert found == registry.get_sample_value("theirs_bucket", {"a": "x", "le": bound})
    assert registry.get_sample_value("ours_sum", {"a": "x"}) == registry.get_sample_value("theirs_sum", {"a": "x"})


def test_threads_lose_no_count() -> None:
    registry = CollectorRegistry()
    hot = HotCounter(Counter("many", "", registry=registry))

    def count_many() -> None:
        for _ in range(5000):
            hot.inc()

    threads = [threading.Thread(target=count_many) for _ in range(4)]
    for thread in threads:
        thread.start()
        hot.flush()
    for thread in threads:
        thread.join()
    flush_metrics()
    assert registry.get_sample_value("many_total") == 20_000


def test_a_gauge_hands_over_its_last_value_once() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("depth", "", registry=registry)
    hot = HotGauge(gauge)
    hot.set(5)
    hot.set(3)
    hot.flush()
    assert registry.get_sample_value("depth") == 3
    gauge.set(9)
    hot.flush()
    assert registry.get_sample_value("depth") == 9, "nothing new was set"


def test_a_serving_process_hands_over_while_it_runs_and_at_its_end() -> None:
    registry = CollectorRegistry()
    hot = HotCounter(Counter("runs", "", registry=registry))

    async def serve() -> None:
        flusher = MetricsFlusher(interval_s=0.01)
        await flusher.start()
        hot.inc()
        async with asyncio.timeout(10):
            while registry.get_sample_value("runs_total") != 1:
                await asyncio.sleep(0.005)
        hot.inc()
        await flusher.stop()

    asyncio.run(serve())
    assert registry.get_sample_value("runs_total") == 2


def test_events_are_consumed_by_key_once_and_in_order() -> None:
    seen: list[tuple[str, list[float]]] = []
    events: HotEvents[str] = HotEvents(lambda key, values: seen.append((key, list(values))))
    for key, value in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        events.add((key, value))
    events.flush()
    events.flush()
    assert seen == [("a", [1.0, 3.0]), ("b", [2.0])]


def test_many_events_are_looked_at_in_steps_by_whoever_adds_them_and_each_is_counted() -> None:
    steps: list[list[float]] = []
    events: HotEvents[str] = HotEvents(lambda key, values: steps.append(list(values)))
    for number in range(2 * STEP_EVENTS + 1):
        events.add(("a", float(number)))
    assert [len(step) for step in steps] == [STEP_EVENTS, STEP_EVENTS]
    events.flush()
    assert [value for step in steps for value in step] == [float(n) for n in range(2 * STEP_EVENTS + 1)]


def test_a_disk_that_refuses_a_metrics_file_costs_the_count_and_not_the_request_that_made_it_due() -> None:
    tries: list[int] = []

    def consume(key: str, values: Sequence[float]) -> None:
        tries.append(len(values))
        raise OSError("no space left on the device")

    events: HotEvents[str] = HotEvents(consume)
    for number in range(STEP_EVENTS):
        events.add(("a", float(number)))
    assert tries == [STEP_EVENTS]


def test_threads_that_add_and_hand_over_at_once_lose_and_double_nothing() -> None:
    seen: Counts[int] = Counts()
    counting = threading.Lock()

    def consume(key: str, values: Sequence[float]) -> None:
        with counting:
            seen.update(int(value) for value in values)

    events: HotEvents[str] = HotEvents(consume)
    each = 50 * STEP_EVENTS

    def add(first: int) -> None:
        for number in range(first, first + each):
            events.add(("a", float(number)))
            if number % 7 == 0:
                events.flush()

    threads = [threading.Thread(target=add, args=(place * each,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    events.flush()
    assert seen == Counts(range(3 * each))


def test_what_events_feed_is_handed_over_with_them() -> None:
    registry = CollectorRegistry()
    histogram = HotHistogram(Histogram("fed", "", buckets=BUCKETS, registry=registry))
    events: HotEvents[str] = HotEvents(lambda key, values: histogram.observe_many(values))
    for value in VALUES:
        events.add(("x", value))
    flush_metrics()
    assert registry.get_sample_value("fed_count") == len(VALUES)
    assert registry.get_sample_value("fed_bucket", {"le": "1.0"}) == 4
