"""Closed windows are fed once each, whoever runs the clock; what is seen becomes events and metrics."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from aiplatform.contracts.monitoring import FeedbackItem
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models import DetectedChange, DetectorState
from monitoring.performance import changes
from monitoring.performance.changes import detect_changes, list_changes
from monitoring.performance.detectors.stream import Stream, WindowValue
from monitoring.performance.results import ChangeEvent
from monitoring.statistics import measure
from tests.monitoring.factories import NOW, make_batch

pytestmark = [pytest.mark.long, pytest.mark.django_db]
START = NOW - timedelta(minutes=60)


def record(minute: int, *, accuracy: float = 0.9, shift: float = 0.0, rows: int = 100) -> None:
    random = np.random.default_rng(minute)
    time = START + timedelta(minutes=minute)
    ids = [f"{minute}-{i}" for i in range(rows)]
    record_predictions(
        batches=[make_batch(rows, ids=ids, time=time, numeric={"x": random.normal(shift, 1, rows)})], now=time
    )
    right = int(accuracy * rows)
    items = [FeedbackItem(prediction_id=i, label="7" if n < right else "1") for n, i in enumerate(ids)]
    record_feedback(items=items, now=time)


def at(minute: int) -> datetime:
    """Return when the clock looks so that this minute's labels are due."""
    return START + timedelta(minutes=minute) + timedelta(seconds=720)


def test_a_fall_of_accuracy_and_a_shift_become_events_once() -> None:
    for minute in range(40):
        record(minute, accuracy=0.6 if minute >= 30 else 0.9, shift=1.0 if minute >= 20 else 0.0)
    assert detect_changes(now=at(40)) > 0
    assert detect_changes(now=at(40)) == 0
    seen = list_changes("digits", 1)
    first: dict[tuple[str, str], ChangeEvent] = {}
    for change in reversed(seen):
        first.setdefault((change.stream, change.detector), change)
    assert set(first) == {(s, d) for s in ("accuracy", "feature:x") for d in ("adwin", "page_hinkley")}
    assert first["accuracy", "page_hinkley"].at <= START + timedelta(minutes=33)
    assert first["feature:x", "page_hinkley"].at <= START + timedelta(minutes=24)
    assert first["accuracy", "page_hinkley"].before == pytest.approx(0.9, abs=0.02)
    found = measure("accuracy_change_detected", endpoint="digits", version=1, window_s=300, now=at(40))
    assert found.value == sum(c.stream == "accuracy" for c in seen)
    assert found.detail["changes"][0]["before"] > found.detail["changes"][0]["after"]
    shifted = measure("feature_change_detected", endpoint="digits", version=1, window_s=300, now=at(40), feature="x")
    assert shifted.value and shifted.value >= 2
    later = measure("accuracy_change_detected", endpoint="digits", version=1, window_s=300, now=at(70))
    assert later.value == 0


def test_fed_one_by_one_or_after_an_outage_the_memory_is_the_same() -> None:
    for minute in range(30):
        record(minute)
        detect_changes(now=at(minute))
    detect_changes(now=at(40))
    step_by_step = {s.stream: s.state for s in DetectorState.objects.all()}
    DetectorState.objects.all().delete()
    DetectedChange.objects.all().delete()
    detect_changes(now=at(40))
    assert {s.stream: s.state for s in DetectorState.objects.all()} == step_by_step


def test_a_minute_that_is_not_over_is_not_fed() -> None:
    record(0)
    detect_changes(now=START + timedelta(seconds=50))
    assert not DetectorState.objects.exists()
    detect_changes(now=START + timedelta(seconds=150))
    assert [s.stream for s in DetectorState.objects.all()] == ["feature:x"]  # labels are still waited for


def test_a_clock_that_was_overtaken_writes_nothing() -> None:
    for minute in range(3):
        record(minute)
    detect_changes(now=at(0))
    (stale,) = DetectorState.objects.filter(stream="accuracy")
    detect_changes(now=at(10))
    after = DetectorState.objects.get(stream="accuracy").state
    fed = [changes._Fed(START + timedelta(minutes=m), WindowValue(100, 0.0, 0.0)) for m in range(20)]
    assert changes._feed(stale.served, "accuracy", stale, fed, NOW) == 0
    assert DetectorState.objects.get(stream="accuracy").state == after
    assert not DetectedChange.objects.exists()


def test_a_failure_in_the_middle_leaves_the_window_to_be_fed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for minute in range(40):
        record(minute, accuracy=0.9 if minute < 30 else 0.3)
    update = Stream.update
    with monkeypatch.context() as broken:

        def fail(self: Stream, window: WindowValue) -> dict[str, object]:
            if window.total == 30.0:
                raise RuntimeError("the power went off")
            return dict(update(self, window))

        broken.setattr(Stream, "update", fail)
        with pytest.raises(RuntimeError):
            detect_changes(now=at(40))
    assert not DetectorState.objects.filter(stream="accuracy").exists()
    assert detect_changes(now=at(40)) >= 2


def test_nothing_watched_is_no_data_and_not_zero() -> None:
    record_predictions(batches=[make_batch(10)], now=NOW)
    found = measure("accuracy_change_detected", endpoint="digits", version=1, window_s=300, now=NOW)
    assert (found.value, found.detail["reason"]) == (None, "no data")
