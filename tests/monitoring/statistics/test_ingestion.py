"""Predictions are counted once, in their own minute, however they arrive."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from aiplatform.contracts.columns import Numbers
from aiplatform.errors import InvalidInputError
from monitoring.ingestion import record_predictions
from monitoring.models import IngestedBatch, PredictionBlock, ServedVersion, Window
from monitoring.windows import WindowContent
from tests.monitoring.factories import NOW, make_batch

pytestmark = pytest.mark.django_db


def indexed_rows() -> int:
    return sum(PredictionBlock.objects.values_list("rows", flat=True))


@pytest.mark.postgres
def test_a_batch_that_arrives_twice_counts_once() -> None:
    batch = make_batch(10)
    first = record_predictions(batches=[batch], now=NOW)
    again = record_predictions(batches=[batch], now=NOW)
    assert (first.accepted, first.duplicates) == (1, 0)
    assert (again.accepted, again.duplicates) == (0, 1)
    assert Window.objects.get().rows == 10
    assert indexed_rows() == 10


@pytest.mark.postgres
def test_the_same_batch_twice_in_one_call_counts_once() -> None:
    batch = make_batch(10)
    receipt = record_predictions(batches=[batch, batch], now=NOW)
    assert (receipt.accepted, receipt.duplicates) == (1, 1)
    assert Window.objects.get().rows == 10


@pytest.mark.postgres
def test_batches_of_one_minute_add_up_in_one_window() -> None:
    record_predictions(
        batches=[make_batch(10, numeric={"size": np.arange(10)}), make_batch(5, numeric={"size": np.arange(5)})],
        now=NOW,
    )
    record_predictions(batches=[make_batch(7, numeric={"size": np.arange(7)})], now=NOW)
    window = Window.objects.get()
    content = WindowContent.read_from(window)
    assert (window.rows, window.requests, window.errors) == (22, 22, 0)
    assert content.profile.features["size"].count == 22
    assert content.profile.outputs["label"].count == 22
    assert content.latency.n == 22
    assert window.confidence_sum == pytest.approx(22 * 0.9)


def test_a_late_batch_goes_into_its_own_minute() -> None:
    record_predictions(batches=[make_batch(1), make_batch(2, time=NOW - timedelta(minutes=5))], now=NOW)
    assert {w.start.minute: w.rows for w in Window.objects.all()} == {0: 1, 55: 2}


def test_rows_older_than_the_retention_are_not_counted() -> None:
    receipt = record_predictions(batches=[make_batch(3, time=NOW - timedelta(days=400))], now=NOW)
    assert receipt.accepted == 1
    assert not Window.objects.exists()


def test_a_clock_that_runs_ahead_cannot_make_windows_in_the_future() -> None:
    record_predictions(batches=[make_batch(3, time=NOW + timedelta(days=3))], now=NOW)
    assert Window.objects.get().start == NOW.replace(second=0)


def test_failed_requests_count_as_errors_and_not_as_predictions() -> None:
    statuses = [200, 200, 400, 503, 500]
    record_predictions(
        batches=[
            make_batch(
                5, statuses=statuses, numeric={"size": [1, 2, None, None, None]}, labels=["1", "2", None, None, None]
            )
        ],
        now=NOW,
    )
    window = Window.objects.get()
    assert (window.rows, window.requests, window.errors, window.rejected) == (2, 5, 2, 1)
    assert WindowContent.read_from(window).profile.features["size"].missing == 0
    assert indexed_rows() == 2


def test_the_rows_of_one_request_are_one_request() -> None:
    record_predictions(batches=[make_batch(3, ids=["a", "a", "a"], rows=(0, 1, 2))], now=NOW)
    window = Window.objects.get()
    assert (window.rows, window.requests) == (3, 1)
    assert WindowContent.read_from(window).latency.n == 1


@pytest.mark.postgres
def test_columns_of_different_length_are_refused_and_nothing_is_counted() -> None:
    good, bad = make_batch(2), make_batch(2, latencies_ms=(1.0,))
    with pytest.raises(InvalidInputError, match="latencies_ms"):
        record_predictions(batches=[good, bad], now=NOW)
    assert not IngestedBatch.objects.exists()
    assert not Window.objects.exists()


@pytest.mark.postgres
def test_replicas_that_disagree_on_a_columns_kind_do_not_stop_the_counting() -> None:
    record_predictions(batches=[make_batch(2, numeric={"size": [1, 2]})], now=NOW)
    record_predictions(batches=[make_batch(2, categories={"size": ["s", "m"]})], now=NOW)
    window = Window.objects.get()
    assert window.rows == 4
    assert WindowContent.read_from(window).profile.features["size"].count == 2


def test_more_features_than_the_limit_are_left_out(settings: Settings) -> None:
    settings.MAX_WATCHED_FEATURES = 2
    record_predictions(
        batches=[make_batch(1, numeric={"a": [1], "b": [1], "c": [1]}, categories={"d": ["x"]})], now=NOW
    )
    assert set(WindowContent.read_from(Window.objects.get()).profile.features) == {"a", "b"}


def watched(*places: int) -> Numbers:
    return Numbers.pack(places, "u4")


def test_of_a_sampled_batch_features_count_the_watched_rows_and_all_else_every_row() -> None:
    batch = make_batch(
        10, numeric={"size": [1, None]}, categories={"city": ["a", "b"]}, embedding=[[1.0], [2.0]],
        watched=watched(3, 9), statuses=(200,) * 9 + (503,),
    )  # fmt: skip
    record_predictions(batches=[batch], now=NOW)
    window = Window.objects.get()
    profile = WindowContent.read_from(window).profile
    assert (window.rows, window.errors, indexed_rows()) == (9, 1, 9)
    assert (profile.rows, profile.outputs["label"].count, profile.outputs["confidence"].count) == (9, 9, 9)
    assert (profile.features["size"].count, profile.features["size"].missing) == (1, 0)  # the other watched row failed
    assert (profile.features["city"].count, profile.features["city"].missing) == (1, 0)
    assert profile.outputs["embedding[0]"].count == 1


@pytest.mark.parametrize(
    ("places", "features"),
    [
        ((0, 3), [1, 2]),  # there are three rows
        ((1, 0), [1, 2]),
        ((1, 1), [1, 2]),
        ((0,), [1, 2]),
    ],
)
def test_watched_rows_that_do_not_fit_are_refused(places: tuple[int, ...], features: list[int]) -> None:
    with pytest.raises(InvalidInputError, match=r"watched|size"):
        record_predictions(batches=[make_batch(3, numeric={"size": features}, watched=watched(*places))], now=NOW)
    with pytest.raises(InvalidInputError, match="watched"):
        record_predictions(batches=[make_batch(3, watched=Numbers(b"\0", "f8"))], now=NOW)
    assert not Window.objects.exists()


def test_an_empty_batch_is_accepted() -> None:
    assert record_predictions(batches=[make_batch(0)], now=NOW).accepted == 1
    assert ServedVersion.objects.count() == 1


def test_missing_values_are_counted_apart() -> None:
    record_predictions(
        batches=[make_batch(3, numeric={"size": [1, None, 3]}, categories={"city": ["a", None, "b"]})], now=NOW
    )
    profile = WindowContent.read_from(Window.objects.get()).profile
    assert (profile.features["size"].count, profile.features["size"].missing) == (2, 1)
    assert (profile.features["city"].count, profile.features["city"].missing) == (2, 1)


def test_a_window_that_is_there_is_not_inserted_again() -> None:
    record_predictions(batches=[make_batch(5)], now=NOW)
    with CaptureQueriesContext(connection) as queries:
        record_predictions(batches=[make_batch(5)], now=NOW)
    inserted = [query["sql"].split('"')[1] for query in queries if query["sql"].startswith("INSERT")]
    assert inserted == ["monitoring_ingestedbatch", "monitoring_predictionblock"]
    assert Window.objects.get().rows == 10
