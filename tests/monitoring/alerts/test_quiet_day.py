"""A day of several endpoints through the real ingestion, statistics and evaluation: who is alerted, and who is not.

The well ones are busy by day and slow by night, or have a request every three minutes, or sleep outside office
hours. One is not well, for an hour each in seven ways; so what is quiet here is quiet for a reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.calibration import Calibration
from aiplatform.contracts.monitoring import FeedbackItem
from monitoring.alerts.defaults import ensure_default_rules
from monitoring.alerts.evaluation import Evaluator
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models.alerts import Alert, AlertRule, RuleTarget
from monitoring.selectors import list_active_versions
from monitoring.statistics import measure
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import make_batch
from training.calibrating import fit_calibration

pytestmark = [pytest.mark.long, pytest.mark.django_db, pytest.mark.timeout(900)]
HOUR_S = 3600
STEP = timedelta(minutes=15)
EVERY = 5  # the requests of so many minutes come in the first of them: fewer windows to write, the same rates
FEATURES = 3
DIMENSIONS = 2  # of the embedding: with so few, one that drifts is half of them, and alerts
ACCURACY = 0.9


@dataclass(frozen=True)
class Trouble:
    """What is wrong with an endpoint in one hour of the day."""

    hour: int
    error_share: float = 0.003
    slowness: float = 1.0
    traffic: float = 1.0
    shift: float = 0.0
    embedding_shift: float = 0.0
    accuracy: float = ACCURACY
    confidence: float = ACCURACY  # in the mean


WELL = Trouble(hour=-1)
TROUBLES = (
    Trouble(hour=3, error_share=0.2), Trouble(hour=6, slowness=6.0), Trouble(hour=9, embedding_shift=0.7),
    Trouble(hour=12, traffic=0.0), Trouble(hour=15, shift=1.5), Trouble(hour=18, accuracy=0.6),
    Trouble(hour=21, confidence=0.7),
)  # fmt: skip


def rows_a_minute(endpoint: str, minute: int) -> float:
    """Return the mean number of requests in a minute of the day."""
    hour = minute / 60
    if endpoint == "busy":
        return 25 - 22 * math.cos(2 * math.pi * (hour - 3) / 24)
    if endpoint == "office":
        return 15 if 8 <= hour < 18 else 0
    return 0.3 if endpoint == "sparse" else 40


def record_day(
    endpoint: str,
    day: datetime,
    artifact: tuple[str, str],
    seed: int,
    troubles: tuple[Trouble, ...],
    *,
    is_labelled: bool = False,
) -> None:
    """Ingest a day of predictions, and the truth of those of the labelled hours."""
    draw, draw_embedding = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    by_hour = {trouble.hour: trouble for trouble in troubles}
    for hour in range(24):
        trouble = by_hour.get(hour, WELL)
        minutes = range(0, 60, EVERY)
        means = [EVERY * rows_a_minute(endpoint, 60 * hour + minute) * trouble.traffic for minute in minutes]
        counts = draw.poisson(means)
        size = int(counts.sum())
        if not size:
            continue
        starts = day.timestamp() + HOUR_S * hour + 60 * np.repeat(list(minutes), counts)
        times = starts + draw.uniform(0, 60, size)
        # As real ids: milliseconds, then chance; blocks of other minutes need not be searched.
        ids = [f"{int(1000 * at):012x}{draw.bytes(10).hex()}" for at in times]
        batch = make_batch(
            size, endpoint=endpoint, ids=ids, uri=artifact[0], digest=artifact[1], labels=["1"] * size,
            times_s=tuple(times), http_statuses=np.where(draw.random(size) < trouble.error_share, 500, 200),
            latency_ms=tuple(draw.lognormal(3.0, 0.6, size) * trouble.slowness),
            confidences=trouble.confidence + draw.uniform(-0.1, 0.1, size),
            numeric={f"f{i}": draw.normal(trouble.shift, 1, size) for i in range(FEATURES)},
            embedding=draw_embedding.normal(trouble.embedding_shift, 1, (size, DIMENSIONS)),
        )  # fmt: skip
        now = day + timedelta(hours=hour + 1)
        record_predictions(batches=[batch], now=now)
        if is_labelled and hour in (10, 18):
            right = draw.random(size) < trouble.accuracy
            items = [FeedbackItem(prediction_id=i, label="1" if ok else "2") for i, ok in zip(ids, right, strict=True)]
            record_feedback(items=items, now=now)


def honest_calibration() -> Calibration:
    """Return the calibration of a model of three classes that is right as often as it is sure."""
    draw = np.random.default_rng(8)
    sure = draw.uniform(0.4, 1.0, 20_000)
    rest = (1 - sure) / 2
    truth = np.where(draw.random(20_000) < sure, 0, draw.integers(1, 3, 20_000))
    found = fit_calibration(np.stack([sure, rest, rest], axis=1), truth)
    assert found is not None
    return found


@pytest.fixture
def day(tmp_path: Path) -> datetime:
    """Return a day that was recorded, with the day before and the same day a week before."""
    draw = np.random.default_rng(7)
    artifact = write_artifact(
        tmp_path, {f"f{i}": draw.normal(0, 1, 20_000) for i in range(FEATURES)}, metrics={"test_accuracy": ACCURACY},
        calibration=honest_calibration(), embeddings=np.random.default_rng(9).normal(0, 1, (5_000, DIMENSIONS)),
    )  # fmt: skip
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    for index, endpoint in enumerate(("busy", "sparse", "office", "unwell")):
        for back in (7, 1):
            record_day(endpoint, day - timedelta(days=back), artifact, 100 * index + back, ())
        record_day(
            endpoint,
            day,
            artifact,
            100 * index,
            TROUBLES if endpoint == "unwell" else (),
            is_labelled=endpoint in ("busy", "unwell"),
        )
    return day


def test_a_quiet_day_alerts_nobody_and_trouble_is_alerted(day: datetime) -> None:
    AlertRule.objects.all().delete()
    ensure_default_rules.__globals__["ShippedRule"].objects.all().delete()
    ensure_default_rules()
    AlertRule.objects.update(for_s=0)  # stricter: a single moment would do
    now = day
    evaluator = Evaluator(
        measure=measure, list_active_versions=list_active_versions, serving_versions=lambda endpoint: frozenset({1}),
        clock=lambda: now, stale_after_s=HOUR_S,
    )  # fmt: skip
    seen: set[tuple[str, str]] = set()
    while now < day + timedelta(days=1):
        now += STEP
        evaluator.run()
        seen |= {(t.rule.name, t.verdict) for t in RuleTarget.objects.exclude(verdict="no_data").select_related("rule")}
    errors = RuleTarget.objects.filter(verdict="error").values_list("message", flat=True)
    assert not list(errors)
    assert {name for name, _ in seen} == set(AlertRule.objects.values_list("name", flat=True)), "each rule had data"
    assert fired(day) == {
        ("unwell", "High error rate", 3), ("unwell", "Slower than yesterday", 6),
        ("unwell", "Embedding drift", 9), ("unwell", "No traffic", 12),
        ("unwell", "Input drift", 15), ("unwell", "Accuracy drop", 18),
        ("unwell", "Estimated accuracy drop", 21),
    }  # fmt: skip


def fired(day: datetime) -> set[tuple[str, str, int]]:
    """Return endpoint, rule and the hour of the day of all that fired."""
    found: Any = Alert.objects.exclude(fired_at=None)
    return {(a.endpoint, a.rule_name, int((a.fired_at - day).total_seconds() // HOUR_S)) for a in found}
