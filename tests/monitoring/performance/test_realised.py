"""Labels that come late, again or changed leave the counts as if only the last had come; windows add up."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.contracts.columns import Numbers
from aiplatform.contracts.monitoring import ClassScores, FeedbackItem, PredictionBatch
from aiplatform.errors import InvalidInputError
from aiplatform.scores import encode_scores
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models import PerformanceWindow
from monitoring.performance.counts import unpack_counts
from monitoring.performance.rollup import roll_up_performance
from monitoring.performance.selectors import get_counts, get_performance, get_quality
from monitoring.selectors import Period
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import NOW, make_batch
from tests.monitoring.performance.rows import random_probabilities

pytestmark = [pytest.mark.long, pytest.mark.django_db]
PERIOD = Period.last(3600, now=NOW)
CLASSES = ("cat", "dog", "owl")


def scored_batch(ids: list[str], probabilities: np.ndarray, **changes: Any) -> PredictionBatch:
    codes = encode_scores(probabilities)
    assert codes is not None
    best = probabilities.argmax(axis=1)
    return make_batch(
        len(ids),
        ids=ids,
        labels=[CLASSES[b] for b in best],
        confidences=probabilities.max(axis=1),
        scores=ClassScores(classes=CLASSES, codes=codes.tobytes()),
        **changes,
    )


def test_late_repeated_and_changed_labels_leave_what_the_last_ones_say() -> None:
    random.seed(3)
    _, probabilities = random_probabilities(120, 3, seed=1)
    ids = [f"p{i}" for i in range(120)]
    batches = [
        scored_batch(ids[i : i + 40], probabilities[i : i + 40], time=NOW - timedelta(minutes=i // 40))
        for i in (0, 40, 80)
    ]
    events: list[PredictionBatch | str] = [*(batches * 2), *(ids * 3)]
    random.shuffle(events)
    truth: dict[str, str] = {}
    for event in events:
        if isinstance(event, PredictionBatch):
            record_predictions(batches=[event], now=NOW)
        else:
            truth[event] = random.choice(CLASSES)
            record_feedback(items=[FeedbackItem(prediction_id=event, label=truth[event])])
    met = get_performance("digits", 1, PERIOD)

    PerformanceWindow.objects.all().delete()
    for i, batch in enumerate(batches):  # the same predictions again, each with its last label alone
        again = replace(batch, batch_id=f"again-{i}", version=2)
        record_predictions(batches=[renamed(again, "again-")], now=NOW)
    record_feedback(items=[FeedbackItem(prediction_id=f"again-{i}", label=truth[i]) for i in ids])
    assert get_performance("digits", 2, PERIOD).classification == met.classification
    assert met.labelled == 120


def renamed(batch: PredictionBatch, prefix: str) -> PredictionBatch:
    ids = [prefix + name for name in batch.prediction_ids.to_list()]
    return replace(batch, prediction_ids=type(batch.prediction_ids).pack(ids))


def test_a_label_counts_in_the_minute_of_its_prediction() -> None:
    _, probabilities = random_probabilities(2, 3, seed=0)
    record_predictions(batches=[scored_batch(["a"], probabilities[:1], time=NOW - timedelta(minutes=20))], now=NOW)
    record_feedback(items=[FeedbackItem(prediction_id="a", label="cat")], now=NOW)
    assert PerformanceWindow.objects.get().start == (NOW - timedelta(minutes=20)).replace(second=0)
    assert get_counts("digits", 1, Period.last(300, now=NOW)).labelled == 0


def test_numbers_are_measured_and_a_changed_truth_replaces_the_old_one() -> None:
    batch = make_batch(
        3, ids=["a", "b", "c"], labels=[None] * 3, confidences=[None] * 3, predicted_values=(1.0, 2.0, 4.0)
    )
    record_predictions(batches=[batch], now=NOW)
    record_feedback(items=[FeedbackItem(prediction_id=i, value=v) for i, v in (("a", 1e200), ("b", 3.0), ("c", 4.0))])
    record_feedback(items=[FeedbackItem(prediction_id="a", value=1.5)])
    found = get_performance("digits", 1, PERIOD).regression
    assert found is not None
    assert found.mean_absolute_error.value == pytest.approx(0.5)
    assert found.bias.value == pytest.approx(-0.5)
    assert found.root_mean_squared_error.value == pytest.approx((1.25 / 3) ** 0.5)


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[str, str]:
    features = {"age": np.arange(1000.0), "sex": np.array(["f", "m"] * 500, dtype=object), "same": np.ones(1000)}
    return write_artifact(tmp_path, features)


def test_a_segment_that_is_worse_is_found(artifact: tuple[str, str]) -> None:
    uri, digest = artifact
    ages = np.arange(0.0, 1000.0)
    sexes = [None if i % 10 == 0 else "fm"[i % 2] for i in range(1000)]
    ids = [f"p{i}" for i in range(1000)]
    batch = make_batch(
        1000, ids=ids, numeric={"age": ages, "same": np.ones(1000)}, categories={"sex": sexes}, uri=uri, digest=digest
    )
    record_predictions(batches=[batch], now=NOW)
    wrong = {i for i in range(1000) if ages[i] > 800 and i % 3}
    record_feedback(items=[FeedbackItem(prediction_id=f"p{i}", label="1" if i in wrong else "7") for i in range(1000)])
    segments = get_performance("digits", 1, PERIOD).segments
    worse = [s for s in segments if s.is_worse]
    assert [(s.feature, s.segment.split()[0]) for s in worse] == [("age", "above")]
    assert worse[0].score.value == pytest.approx(1 - len(wrong) / worse[0].labelled)
    assert {s.segment for s in segments if s.feature == "sex"} == {"f", "m", "missing"}
    for feature in ("age", "sex"):
        assert sum(s.labelled for s in segments if s.feature == feature) == 1000
    assert not [s for s in segments if s.feature == "same"]  # one value alone divides nothing


def test_only_rows_whose_features_were_watched_are_in_a_segment(artifact: tuple[str, str]) -> None:
    uri, digest = artifact
    ids = [f"p{i}" for i in range(1000)]
    watched = np.arange(0, 1000, 4)
    batch = make_batch(
        1000, ids=ids, numeric={"age": watched.astype(float)}, watched=Numbers.pack(watched, "u4"),
        uri=uri, digest=digest,
    )  # fmt: skip
    record_predictions(batches=[batch], now=NOW)
    wrong = {i for i in range(1000) if i > 800}
    record_feedback(items=[FeedbackItem(prediction_id=f"p{i}", label="1" if i in wrong else "7") for i in range(1000)])
    found = get_performance("digits", 1, PERIOD)
    assert sum(s.labelled for s in found.segments) == 250
    (worse,) = [s for s in found.segments if s.is_worse]
    assert worse.segment.startswith("above") and worse.score.value == pytest.approx(0, abs=0.05)


def test_numbers_have_segments_too(artifact: tuple[str, str]) -> None:
    uri, digest = artifact
    values = np.where(np.arange(200) < 100, 0.0, 5.0)
    ids = [f"p{i}" for i in range(200)]
    batch = make_batch(
        200, ids=ids, labels=[None] * 200, confidences=[None] * 200, predicted_values=values,
        numeric={"age": np.where(np.arange(200) < 100, 10.0, 900.0)}, uri=uri, digest=digest,
    )  # fmt: skip
    record_predictions(batches=[batch], now=NOW)
    random = np.random.default_rng(0)
    record_feedback(items=[FeedbackItem(prediction_id=i, value=float(random.normal(0, 0.1))) for i in ids])
    worse, better = get_performance("digits", 1, PERIOD).segments
    assert (worse.is_worse, better.is_worse) == (True, False)
    assert worse.score.value == pytest.approx(5, abs=0.1)


def test_a_label_that_agrees_by_chance_makes_no_segment_worse(artifact: tuple[str, str]) -> None:
    uri, digest = artifact
    random = np.random.default_rng(1)
    found = 0
    for version in range(1, 21):
        ids = [f"v{version}-{i}" for i in range(300)]
        record_predictions(
            batches=[
                make_batch(
                    300, ids=ids, numeric={"age": random.uniform(0, 1000, 300)}, uri=uri, digest=digest, version=version
                )
            ],
            now=NOW,
        )
        labels = np.where(random.random(300) < 0.8, "7", "1")
        record_feedback(items=[FeedbackItem(prediction_id=i, label=str(v)) for i, v in zip(ids, labels, strict=True)])
        found += any(s.is_worse for s in get_performance("digits", version, PERIOD).segments)
    assert found <= 3  # one of 20 expected at 5%, of which half are better, not worse


def test_without_a_baseline_there_are_no_segments_and_all_else() -> None:
    record_predictions(batches=[make_batch(1, ids=["a"], numeric={"x": [1.0]})], now=NOW)
    record_feedback(items=[FeedbackItem(prediction_id="a", label="7")])
    found = get_performance("digits", 1, PERIOD)
    assert found.segments == ()
    assert found.classification is not None and found.classification.accuracy.value == 1.0
    assert "no baseline" in found.estimated.reason


@pytest.mark.parametrize(
    "scores",
    [
        ClassScores(classes=("a",), codes=b"\0\0"),
        ClassScores(classes=("a", "b", "c"), codes=b"\0\0"),
        ClassScores(classes=tuple(map(str, range(100))), codes=b"\0" * 200),
    ],
)
def test_scores_that_do_not_fit_their_batch_are_refused(scores: ClassScores) -> None:
    with pytest.raises(InvalidInputError, match="scores"):
        record_predictions(batches=[make_batch(1, scores=scores)], now=NOW)


def test_a_window_stays_small_however_many_labels_it_counts() -> None:
    sizes = []
    for rows in (500, 5000):
        truth, probabilities = random_probabilities(rows, 3, seed=rows)
        ids = [f"{rows}-{i}" for i in range(rows)]
        record_predictions(batches=[scored_batch(ids, probabilities, version=rows)], now=NOW)
        items = [FeedbackItem(prediction_id=i, label=CLASSES[t]) for i, t in zip(ids, truth, strict=True)]
        record_feedback(items=items)
        window = PerformanceWindow.objects.get(served__version=rows)
        assert unpack_counts(window.counts).labelled == rows
        sizes.append(len(window.counts))
    assert sizes[1] < 1.6 * sizes[0] < 6000


def test_minutes_become_hours_and_late_labels_and_corrections_still_count() -> None:
    old = NOW - timedelta(hours=30)
    truth, probabilities = random_probabilities(60, 3, seed=6)
    for minute in range(3):
        ids = [f"{minute}-{i}" for i in range(20)]
        batch = scored_batch(
            ids, probabilities[minute * 20 :][:20], time=old + timedelta(minutes=minute), numeric={"x": np.arange(20.0)}
        )
        record_predictions(batches=[batch], now=NOW)
    names = [f"{i // 20}-{i % 20}" for i in range(60)]
    record_feedback(items=[FeedbackItem(prediction_id=n, label="owl") for n in names[:50]])
    whole = Period.last(48 * 3600, now=NOW)
    before = get_performance("digits", 1, whole)
    assert roll_up_performance(now=NOW) == 2
    assert roll_up_performance(now=NOW) == 0
    assert [w.resolution for w in PerformanceWindow.objects.all()] == [3600]
    assert get_performance("digits", 1, whole) == before
    assert get_quality("digits", 1, whole).duplicates.value == pytest.approx(2 / 3, abs=0.01)
    right = [CLASSES[t] for t in truth]
    record_feedback(items=[FeedbackItem(prediction_id=n, label=r) for n, r in zip(names, right, strict=True)])
    after = get_performance("digits", 1, whole)
    roll_up_performance(now=NOW)
    assert PerformanceWindow.objects.count() == 1
    assert get_performance("digits", 1, whole) == after
    assert after.classification is not None
    assert after.classification.accuracy.value == (probabilities.argmax(axis=1) == truth).mean()
    assert get_counts("digits", 1, Period.last(3600, now=NOW)).labelled == 0
