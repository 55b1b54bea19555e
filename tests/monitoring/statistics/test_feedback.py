"""The truth joins its prediction whenever it comes, and the counts stay right."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from aiplatform.contracts.monitoring import FeedbackItem, PredictionBatch
from aiplatform.errors import InvalidInputError
from monitoring.feedback import join_pending_feedback, record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models import Feedback, Window
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db


def said(prediction_id: str, label: str = "7", row: int = 0) -> FeedbackItem:
    return FeedbackItem(prediction_id=prediction_id, label=label, row=row)


def counts() -> tuple[int, int]:
    """Return (labelled, correct) over all windows."""
    rows = list(Window.objects.values_list("labelled", "correct"))
    return sum(r[0] for r in rows), sum(r[1] for r in rows)


def test_feedback_joins_its_prediction() -> None:
    record_predictions(batches=[make_batch(2, ids=["a", "b"], labels=["7", "7"])], now=NOW)
    receipt = record_feedback(items=[said("a"), said("b", "1")])
    assert (receipt.joined, receipt.repeated, receipt.pending) == (2, 0, 0)
    assert counts() == (2, 1)


@pytest.mark.postgres
def test_repeated_feedback_changes_nothing() -> None:
    record_predictions(batches=[make_batch(1, ids=["a"])], now=NOW)
    record_feedback(items=[said("a")])
    assert record_feedback(items=[said("a")]).repeated == 1
    assert counts() == (1, 1)


@pytest.mark.postgres
def test_a_changed_label_corrects_the_counts() -> None:
    record_predictions(batches=[make_batch(1, ids=["a"])], now=NOW)
    record_feedback(items=[said("a", "1")])
    assert counts() == (1, 0)
    assert record_feedback(items=[said("a", "7")]).joined == 1
    assert counts() == (1, 1)
    record_feedback(items=[said("a", "2")])
    assert counts() == (1, 0)


@pytest.mark.postgres
def test_feedback_before_its_prediction_waits_and_is_joined_on_arrival() -> None:
    assert record_feedback(items=[said("a")]).pending == 1
    assert counts() == (0, 0)
    record_predictions(batches=[make_batch(1, ids=["a"])], now=NOW)
    assert counts() == (1, 1)
    assert not Feedback.objects.filter(is_pending=True).exists()


def test_a_pending_label_may_change_before_its_prediction_arrives() -> None:
    record_feedback(items=[said("a", "1")])
    receipt = record_feedback(items=[said("a", "7")])
    assert (receipt.joined, receipt.repeated, receipt.pending) == (0, 1, 0)
    record_predictions(batches=[make_batch(1, ids=["a"])], now=NOW)
    assert counts() == (1, 1)


@pytest.mark.postgres
def test_feedback_that_passed_its_prediction_in_flight_is_joined_by_the_clock() -> None:
    record_predictions(batches=[make_batch(1, ids=["a"])], now=NOW)
    Feedback.objects.create(prediction_key="a", row=0, label="7", claim="x", received_at=NOW)
    assert join_pending_feedback() == 1
    assert join_pending_feedback() == 0
    assert counts() == (1, 1)


@pytest.mark.postgres
def test_of_two_labels_for_one_row_in_a_call_the_last_counts() -> None:
    record_predictions(batches=[make_batch(1, ids=["a"])], now=NOW)
    receipt = record_feedback(items=[said("a", "1"), said("a", "7")])
    assert (receipt.joined, receipt.repeated) == (1, 1)
    assert counts() == (1, 1)


def test_rows_of_one_prediction_have_their_own_truth() -> None:
    record_predictions(batches=[make_batch(2, ids=["a", "a"], rows=(0, 1), labels=["1", "2"])], now=NOW)
    record_feedback(items=[said("a", "1", row=0), said("a", "1", row=1)])
    assert counts() == (2, 1)


def test_numbers_are_measured_by_their_errors() -> None:
    record_predictions(
        batches=[make_batch(2, ids=["a", "b"], labels=[None, None], predicted_values=(10.0, 20.0))], now=NOW
    )
    record_feedback(items=[FeedbackItem(prediction_id="a", value=12.0), FeedbackItem(prediction_id="b", value=17.0)])
    window = Window.objects.get()
    assert (window.valued, window.absolute_error_sum, window.squared_error_sum) == (2, 5.0, 13.0)
    record_feedback(items=[FeedbackItem(prediction_id="b", value=20.0)])
    assert Window.objects.get().absolute_error_sum == pytest.approx(2.0)


def test_the_label_counts_in_the_minute_of_its_prediction() -> None:
    early = NOW - timedelta(minutes=30)
    record_predictions(batches=[make_batch(1, ids=["a"], time=early), make_batch(1, ids=["b"])], now=NOW)
    record_feedback(items=[said("a")])
    assert Window.objects.get(labelled=1).start == early.replace(second=0)


@pytest.mark.parametrize(
    "item",
    [
        FeedbackItem(prediction_id="", label="1"),
        FeedbackItem(prediction_id="a"),
        FeedbackItem(prediction_id="a", label="1", value=1.0),
        FeedbackItem(prediction_id="a", label=""),
        FeedbackItem(prediction_id="a", value=float("nan")),
        FeedbackItem(prediction_id="a", label="1", row=-1),
    ],
)
def test_feedback_that_says_nothing_clear_is_refused(item: FeedbackItem) -> None:
    with pytest.raises(InvalidInputError):
        record_feedback(items=[item])


@pytest.mark.postgres
def test_counts_are_those_of_the_last_labels_after_any_order_of_events() -> None:
    random.seed(7)
    ids = [f"p{i}" for i in range(60)]
    truth: dict[str, str] = {}
    batches = [make_batch(20, ids=ids[i : i + 20], time=NOW - timedelta(minutes=i)) for i in (0, 20, 40)]
    events: list[PredictionBatch | str] = [*(batches * 2), *(ids * 3)]
    random.shuffle(events)
    for event in events:
        if isinstance(event, PredictionBatch):
            record_predictions(batches=[event], now=NOW)
        else:
            truth[event] = random.choice(["7", "1"])
            record_feedback(items=[said(event, truth[event])])
    assert counts() == (60, sum(label == "7" for label in truth.values()))


@pytest.mark.postgres
def test_more_items_than_one_query_holds_are_recorded() -> None:
    ids = [f"p{i}" for i in range(1000)]
    record_predictions(batches=[make_batch(1000, ids=ids)], now=NOW)
    assert record_feedback(items=[said(i) for i in ids]).joined == 1000
    assert counts() == (1000, 1000)
