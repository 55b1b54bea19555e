"""The contract's client and the served contract understand each other."""

from __future__ import annotations

import pytest
from django.test import Client

from aiplatform.contracts.monitoring import FeedbackItem, RecordFeedback, RecordPredictions
from aiplatform.errors import InvalidInputError, NotFoundError
from aiplatform.services import monitoring_client
from tests.monitoring.factories import make_batch, now

pytestmark = pytest.mark.django_db(transaction=True)


def test_predictions_feedback_and_report_go_through_the_client() -> None:
    client = monitoring_client()
    batch = make_batch(3, time=now(), ids=["a", "b", "c"], labels=["7", "7", "1"])
    assert client.record_predictions(RecordPredictions(batches=(batch, batch))).duplicates == 1
    items = (FeedbackItem(prediction_id="a", label="7"), FeedbackItem(prediction_id="z", label="7"))
    receipt = client.record_feedback(RecordFeedback(items=items))
    assert (receipt.joined, receipt.pending) == (1, 1)
    report = client.get_report("digits", 1, 600)
    assert (report.endpoint, report.version, report.period_s) == ("digits", 1, 600)
    assert report.report["accuracy"]["coverage"] == pytest.approx(1 / 3)


def test_errors_come_back_as_their_own_class() -> None:
    with pytest.raises(NotFoundError):
        monitoring_client().get_report("nobody", 1, 600)
    with pytest.raises(InvalidInputError, match="rows"):
        monitoring_client().record_predictions(RecordPredictions(batches=(make_batch(2, rows=(0,)),)))


def test_an_unsigned_call_is_refused() -> None:
    assert Client().post("/internal/monitoring/predictions", b"{}", content_type="application/json").status_code == 401
