"""Single predictions are found in their blocks by id, singly and in bulk, and listed newest first."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from aiplatform.contracts.columns import Numbers, PredictionIds, Texts
from aiplatform.contracts.monitoring import FeedbackItem, PredictionBatch
from aiplatform.errors import InvalidInputError
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models import Feedback, PredictionBlock, Window
from monitoring.predictions import Cursor, find_rows, list_latest
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db
RANDOM = random.Random(3)


def hex_id(time: datetime) -> str:
    """Return an id as serving makes them: milliseconds, then chance."""
    return f"{int(time.timestamp() * 1000) << 80 | RANDOM.getrandbits(80):032x}"


def hex_batch(size: int, *, time: datetime = NOW, **more: object) -> PredictionBatch:
    return make_batch(size, ids=[hex_id(time) for _ in range(size)], time=time, **more)  # type: ignore[arg-type]


def ids_of(batch: PredictionBatch) -> list[str]:
    return batch.prediction_ids.to_list()


def test_a_batch_and_minute_is_one_block_whatever_its_size() -> None:
    early, late = NOW - timedelta(seconds=45), NOW
    times = [early.timestamp()] * 700 + [late.timestamp()] * 300
    ids = [hex_id(early) for _ in range(700)] + [hex_id(late) for _ in range(300)]
    record_predictions(batches=[make_batch(1000, ids=ids, times_s=times)], now=NOW)
    assert sorted(PredictionBlock.objects.values_list("rows", "is_wide")) == [(300, False), (700, False)]
    assert len(find_rows(ids)) == 1000


def test_every_column_of_a_row_is_found_again() -> None:
    time = NOW.replace(microsecond=123457)
    batch = make_batch(
        3, ids=[hex_id(time)] * 3, rows=(0, 1, 300), time=time, labels=["7", None, "x" * 300],
        confidences=(0.9, None, 0.25), predicted_values=(None, 1.5, -2.0),
    )  # fmt: skip
    record_predictions(batches=[batch], now=NOW)
    found = [row.content for row in find_rows(ids_of(batch)).values()]
    assert [(row.row, row.label, row.confidence, row.value) for row in found] == [
        (0, "7", 0.9, None), (1, None, None, 1.5), (300, "x" * 200, 0.25, -2.0),
    ]  # fmt: skip
    assert all(abs(row.time - time) <= timedelta(microseconds=1) for row in found)


def test_a_prediction_among_many_blocks_is_found_by_opening_only_its_own() -> None:
    batches = [hex_batch(5, time=NOW - timedelta(minutes=minute)) for minute in range(40)]
    record_predictions(batches=batches, now=NOW)
    wanted = ids_of(batches[17])[2]
    with CaptureQueriesContext(connection) as queries:
        (row,) = find_rows([wanted, hex_id(NOW - timedelta(minutes=3, seconds=20))]).values()
    assert row.prediction_id == wanted
    assert row.block.window.start == (NOW - timedelta(minutes=17)).replace(second=0)
    assert len(queries) == 3  # wide ranges, ranges, the one block


def test_ids_that_are_no_hex_digits_are_found_too() -> None:
    names = ["a", "A" * 32, "z" * 64, "ä", f"{1:032x}"]
    record_predictions(batches=[make_batch(5, ids=names), hex_batch(3)], now=NOW)
    assert PredictionBlock.objects.filter(is_wide=True).count() == 1
    assert sorted(find_rows(names)) == sorted((name, 0) for name in names)
    assert find_rows(["b", "a" * 32, ""]) == {}


def test_all_of_a_thousand_scattered_ids_are_found_and_no_others() -> None:
    batches = [hex_batch(20, time=NOW - timedelta(minutes=7 * i)) for i in range(60)]
    for batch in batches:
        record_predictions(batches=[batch], now=NOW)
    known = [name for batch in batches for name in ids_of(batch)]
    unknown = [hex_id(NOW - timedelta(minutes=i)) for i in range(300)]
    assert {key[0] for key in find_rows([*known, *unknown])} == set(known)


def test_bulk_feedback_joins_across_blocks_and_counts_in_each_minute() -> None:
    batches = [hex_batch(400, time=NOW - timedelta(minutes=i), labels=["7", "1"] * 200) for i in range(3)]
    record_predictions(batches=batches, now=NOW)
    items = [FeedbackItem(prediction_id=name, label="7") for batch in batches for name in ids_of(batch)]
    assert record_feedback(items=items).joined == 1200
    assert list(Window.objects.values_list("labelled", "correct")) == [(400, 200)] * 3


def test_early_feedback_of_hex_ids_is_joined_by_the_ingestion() -> None:
    batch, other = hex_batch(50), hex_batch(50)
    names = ids_of(batch)
    record_feedback(items=[FeedbackItem(prediction_id=name, label="7") for name in [*names[:10], *ids_of(other)]])
    record_predictions(batches=[batch], now=NOW)
    assert Window.objects.get().correct == 10
    assert Feedback.objects.filter(is_pending=True).count() == 50


def test_feedback_is_joined_by_a_repeated_batch_if_the_first_sender_died_before_it_could() -> None:
    batch = hex_batch(2)
    record_predictions(batches=[batch], now=NOW)
    Feedback.objects.create(prediction_key=ids_of(batch)[1], row=0, label="7", claim="x", received_at=NOW)
    assert record_predictions(batches=[batch], now=NOW).duplicates == 1
    assert (Window.objects.get().rows, Window.objects.get().correct) == (2, 1)


def test_the_latest_are_listed_page_by_page_each_once_newest_first() -> None:
    for i in range(5):
        record_predictions(batches=[hex_batch(30, time=NOW + timedelta(seconds=i), version=1 + i % 2)], now=NOW)
    seen: list[str] = []
    start: Cursor | None = None
    for _ in range(20):
        page = list_latest(version=1, start=start, limit=20)
        seen += [row.prediction_id for row in page.rows]
        start = page.following
        if start is None:
            break
    assert len(seen) == len(set(seen)) == 90
    times = [row.content.time for row in list_latest(limit=150).rows]
    assert times == sorted(times, reverse=True) and len(times) == 150


def test_the_latest_are_filtered_by_endpoint_and_label() -> None:
    record_predictions(batches=[hex_batch(4, labels=["1", "2", "1", None]), hex_batch(3, endpoint="other")], now=NOW)
    assert len(list_latest(endpoint="digits").rows) == 4
    assert [row.content.label for row in list_latest(endpoint="digits", label="1").rows] == ["1", "1"]
    assert list_latest(label="nothing").rows == [] and list_latest(version=9).rows == []


WRONG: list[dict[str, object]] = [
    {"prediction_ids": PredictionIds(raw=b"x" * 31)},
    {"prediction_ids": PredictionIds(names=("a", ""))},
    {"prediction_ids": PredictionIds(names=("a", "b" * 65))},
    {"row_count": -1},
    {"row_count": 3},
    {"rows": Numbers(b"\0" * 7, "u4")},
    {"rows": Numbers.pack([0, 2**31], "u4")},
    {"times_s": Numbers(b"\0" * 16, "O")},
    {"http_statuses": Numbers(b"", "u2")},
    {"numeric_features": {"size": Numbers.pack([1.0])}},
    {"category_features": {"city": Texts(b"\xff\xff\xff\x7f" * 2, ("a",))}},
    {"predicted_labels": Texts.pack(["a"])},
    {"predicted_labels": Texts(b"\xfe\xff\xff\xff" * 2, ())},
]


@pytest.mark.parametrize("change", WRONG)
def test_columns_that_do_not_fit_are_refused_with_the_rule(change: dict[str, object]) -> None:
    batch = make_batch(2)
    values = {name: getattr(batch, name) for name in batch.__dataclass_fields__}
    with pytest.raises(InvalidInputError):
        record_predictions(batches=[PredictionBatch(**{**values, **change})], now=NOW)
    assert not PredictionBlock.objects.exists()
