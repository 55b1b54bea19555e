"""What is old goes, what is young stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import Settings

from aiplatform.contracts.monitoring import FeedbackItem
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models import Feedback, IngestedBatch, PredictionBlock, ServedVersion, Window
from monitoring.predictions import find_rows
from monitoring.retention import clean_up
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db


def test_predictions_go_before_windows_and_accuracy_stays() -> None:
    old = NOW - timedelta(days=20)
    record_predictions(batches=[make_batch(1, ids=["a"], time=old), make_batch(1, ids=["b"])], now=NOW)
    record_feedback(items=[FeedbackItem(prediction_id="a", label="7")], now=NOW)
    clean_up(now=NOW)
    assert list(find_rows(["a", "b"])) == [("b", 0)]
    assert not Feedback.objects.exists()
    assert Window.objects.get(start__lt=NOW - timedelta(days=1)).labelled == 1


def test_old_windows_and_batch_ids_go_and_their_version_with_them() -> None:
    then = NOW - timedelta(days=89)
    record_predictions(batches=[make_batch(1, time=then)], now=then)
    clean_up(now=NOW)
    assert Window.objects.exists()
    clean_up(now=NOW + timedelta(days=3))
    assert not Window.objects.exists()
    assert not IngestedBatch.objects.exists()
    assert not ServedVersion.objects.exists()


def test_feedback_waits_for_its_prediction_only_so_long() -> None:
    record_feedback(items=[FeedbackItem(prediction_id="a", label="7")], now=NOW - timedelta(hours=25))
    record_feedback(items=[FeedbackItem(prediction_id="b", label="7")], now=NOW)
    assert clean_up(now=NOW)["pending_feedback"] == 1
    assert Feedback.objects.get().prediction_key == "b"


def test_no_more_predictions_are_kept_than_the_limit_and_the_oldest_blocks_go(settings: Settings) -> None:
    settings.PREDICTION_RETENTION_ROWS = 100
    for first in range(0, 700, 50):
        time = NOW + timedelta(seconds=first / 100)
        ids = [f"p{i}" for i in range(first, first + 50)]
        record_predictions(batches=[make_batch(50, ids=ids, time=time)], now=NOW)
    record_feedback(items=[FeedbackItem(prediction_id=f"p{i}", label="7") for i in (0, 699)])
    clean_up(now=NOW)
    assert sorted(find_rows(f"p{i}" for i in range(700))) == [(f"p{i}", 0) for i in range(600, 700)]
    assert [feedback.prediction_key for feedback in Feedback.objects.all()] == ["p699"]
    assert Window.objects.get().rows == 700


def test_the_latest_block_stays_even_if_it_is_larger_than_the_limit(settings: Settings) -> None:
    settings.PREDICTION_RETENTION_ROWS = 100
    record_predictions(batches=[make_batch(200)], now=NOW)
    clean_up(now=NOW)
    assert PredictionBlock.objects.get().rows == 200
