"""What the canary counts of numbers whose truth is known: losses in parts of what the champion's errors were before."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aiplatform.contracts.monitoring import FeedbackItem
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.rollouts.counts import LEAST_SCALE, count_version, error_scale
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db
BEFORE = NOW - timedelta(minutes=10)


def predict(minutes_ago: int, version: int, errors: list[float]) -> None:
    """Record predictions of so many minutes ago, and what was true of each."""
    ids = [f"{minutes_ago}-{version}-{n}" for n in range(len(errors))]
    batch = make_batch(
        len(errors), version=version, ids=ids, time=NOW - timedelta(minutes=minutes_ago), labels=[None] * len(errors),
        predicted_values=[100.0 + error for error in errors],
    )  # fmt: skip
    record_predictions(batches=[batch], now=NOW)
    record_feedback(items=[FeedbackItem(prediction_id=i, value=100.0) for i in ids])


def test_the_scale_is_four_mean_errors_of_the_day_before_the_canary() -> None:
    predict(30, 1, [1.0, -3.0])
    predict(5, 1, [50.0, 50.0])  # in the canary
    predict(30, 2, [70.0, 70.0])  # of another version
    assert error_scale("digits", 1, before=BEFORE, least=2) == 8.0
    assert error_scale("digits", 1, before=BEFORE, least=3) is None
    assert error_scale("digits", 1, before=NOW - timedelta(days=2), least=1) is None


@pytest.mark.postgres
def test_losses_are_the_errors_since_the_canary_began_each_at_most_one() -> None:
    predict(30, 2, [8.0])
    predict(5, 2, [2.0, -4.0, 1e300])
    found = count_version("digits", 2, since=BEFORE, now=NOW, slow_ms=None, loss_scale=8.0)
    assert (found.valued, found.loss, found.labelled) == (3, 0.25 + 0.5 + 1.0, 0)
    unknown = count_version("digits", 2, since=BEFORE, now=NOW, slow_ms=None, loss_scale=None)
    assert (unknown.valued, unknown.loss) == (0, 0.0)


@pytest.mark.postgres
def test_beside_a_champion_without_any_error_every_error_is_a_whole_loss() -> None:
    predict(30, 1, [0.0, 0.0])
    scale = error_scale("digits", 1, before=BEFORE, least=2)
    assert scale == LEAST_SCALE
    predict(5, 2, [0.0, 1e-3])
    found = count_version("digits", 2, since=BEFORE, now=NOW, slow_ms=None, loss_scale=scale)
    assert (found.valued, found.loss) == (2, 1.0)
