"""Events become columns of equal length, whatever they hold."""

from __future__ import annotations

import numpy as np
import pytest

from aiplatform.contracts.monitoring import PredictionBatch
from aiplatform.scores import CODE, MISSING, decode_odds, sigmoid
from inference.recording import columns
from inference.recording.columns import build_batches
from inference.recording.pieces import own_pieces
from inference.recording_api import PredictionEvent
from tests.inference.recording.fakes import Rows, called_together, event, failed, read


def build(events: list[PredictionEvent], max_rows: int = 1000) -> list[Rows]:
    return [read(batch) for batch in build_batches(events, replica="r", max_rows=max_rows)]


def test_rows_of_one_request_share_an_id_and_count_upwards() -> None:
    (batch,) = build([event(1), event(2, rows=3)])
    assert batch.prediction_ids == ("p00001", "p00002", "p00002", "p00002")
    assert batch.rows == (0, 0, 1, 2)
    assert batch.numeric_features == {"age": (1.0, 2.0, 2.0, 2.0)}
    assert batch.predicted_labels == ("yes",) * 4
    assert batch.confidences == pytest.approx([0.75] * 4)


def test_a_failed_request_is_one_row_with_nothing_in_it() -> None:
    (batch,) = build([event(1), failed(2, 504)])
    assert batch.http_statuses == (200, 504)
    assert batch.numeric_features == {"age": (1.0, None)}
    assert batch.predicted_labels == ("yes", None)


def test_only_failed_requests_make_a_batch_without_features() -> None:
    (batch,) = build([failed(1), failed(2)])
    assert batch.numeric_features == {} and batch.predicted_labels == ()
    assert batch.http_statuses == (503, 503)


def test_versions_endpoints_and_artifacts_do_not_mix() -> None:
    batches = build([event(1), event(2, version=2), event(3, endpoint="other"), event(4)])
    assert [(b.endpoint, b.version, b.prediction_ids) for b in batches] == [
        ("digits", 1, ("p00001", "p00004")), ("digits", 2, ("p00002",)), ("other", 1, ("p00003",))
    ]  # fmt: skip


def test_a_batch_is_cut_at_its_largest_number_of_rows() -> None:
    batches = build([event(n, rows=3) for n in range(5)], max_rows=6)
    assert [len(batch.rows) for batch in batches] == [6, 6, 3]
    assert len({batch.batch_id for batch in batches}) == 3


def test_categories_numbers_and_regression_values_go_to_their_columns() -> None:
    inputs = {"job": np.array([["clerk"], [None]], dtype=object), "age": np.array([[30.0], [np.nan]])}
    outputs = {"y": np.array([[1.5], [2.5]], dtype=np.float32)}
    (batch,) = build([event(1, inputs=inputs, outputs=outputs, labels=())])
    assert batch.category_features == {"job": ("clerk", None)}
    assert batch.numeric_features["age"][0] == 30.0
    assert batch.predicted_values == (1.5, 2.5)
    assert batch.predicted_labels == ()


def test_images_of_different_sizes_each_give_their_four_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "CHUNK_BYTES", 3000)  # so that equal ones are computed in several steps
    small = {"image": np.full((1, 8, 8, 1), 10, dtype=np.float32)}
    large = {"image": np.full((1, 16, 16, 3), 20, dtype=np.float32)}
    (batch,) = build([event(n, inputs=small if n % 2 else large) for n in range(8)])
    assert sorted(batch.numeric_features) == ["brightness", "contrast", "fill", "sharpness"]
    by_id = dict(zip(batch.prediction_ids, batch.numeric_features["brightness"], strict=True))
    assert by_id["p00001"] == 10.0 and by_id["p00002"] == 20.0


def test_features_that_cannot_be_computed_lose_no_count() -> None:
    (batch,) = build([event(1, inputs={"x": np.array([[object()]])}, outputs={"y": np.array([["text"]])})])
    assert batch.prediction_ids == ("p00001",)
    assert batch.http_statuses == (200,)


def test_outputs_that_do_not_fit_the_rows_lose_no_count() -> None:
    (batch,) = build([event(1, rows=3, outputs={"p": np.zeros((2, 2), np.float32)})])
    assert batch.rows == (0, 1, 2)
    assert batch.numeric_features == {} and batch.predicted_labels == ()


def test_labels_that_are_numbered_differently_join_by_their_text() -> None:
    swapped = {"probabilities": np.array([[0.75, 0.25, 0.0]], dtype=np.float32)}
    (batch,) = build([event(1), event(2, outputs=swapped, labels=("yes", "no")), event(3)])
    assert batch.predicted_labels == ("yes", "yes", "yes")


def test_ids_of_hex_digits_travel_as_their_bytes_and_others_as_they_are() -> None:
    ids = [f"{number:032x}" for number in (1, 2**127)]
    (packed,) = build_batches([event(n, prediction_id=ids[n]) for n in (0, 1)], replica="r", max_rows=10)
    assert packed.prediction_ids.raw == bytes.fromhex("".join(ids)) and not packed.prediction_ids.names
    mixed = [ids[0], ids[1].upper(), " " + ids[0][1:], "short"]
    (named,) = build_batches([event(n, prediction_id=mixed[n]) for n in range(4)], replica="r", max_rows=10)
    assert named.prediction_ids.to_list() == mixed


def test_scores_of_every_class_travel_and_are_missing_where_a_request_failed() -> None:
    (batch,) = build_batches([event(1), failed(2, 400, error_code="invalid_input")], replica="r", max_rows=10)
    assert batch.scores is not None and batch.error_codes is not None
    assert batch.scores.classes == ("no", "yes")
    codes = np.frombuffer(batch.scores.codes, CODE)
    assert sigmoid(decode_odds(codes[:1])) == pytest.approx([0.75], abs=1e-4)
    assert codes[1] == MISSING
    assert batch.error_codes.to_list() == [None, "invalid_input"]


def test_outputs_that_are_no_probabilities_have_no_scores() -> None:
    logits = {"logits": np.array([[3.0, -2.0]], dtype=np.float32)}
    (batch,) = build_batches([event(1, outputs=logits)], replica="r", max_rows=10)
    assert batch.scores is None and batch.predicted_labels is not None


def embeddings(batch: PredictionBatch) -> list[list[float | None]]:
    """Return the embedding of each row."""
    columns = [column.unpack(batch.row_count, "embedding").tolist() for column in batch.embedding]
    return [[None if value != value else value for value in row] for row in zip(*columns, strict=True)]


def test_an_embedding_is_one_column_a_dimension() -> None:
    events = [
        event(1, embedding=np.array([[1, 2, 3]], np.float32)),
        failed(2),
        event(3, rows=2, embedding=np.array([[4, 5, 6], [7, 8, 9]], np.float32)),
    ]
    (batch,) = build_batches(events, replica="r", max_rows=100)
    assert len(batch.embedding) == 3
    by_row = dict(zip(zip(read(batch).prediction_ids, read(batch).rows, strict=True), embeddings(batch), strict=True))
    assert by_row == {
        ("p00001", 0): [1, 2, 3], ("p00002", 0): [None] * 3, ("p00003", 0): [4, 5, 6], ("p00003", 1): [7, 8, 9],
    }  # fmt: skip
    assert build_batches([event(1)], replica="r", max_rows=100)[0].embedding == ()


def test_an_embedding_that_does_not_fit_costs_its_own_rows_their_embedding_only() -> None:
    events = [
        event(1, embedding=np.array([[1, 2]], np.float32)),
        event(2, embedding=np.array([[1, 2, 3]], np.float32)),
        event(3, rows=2, embedding=np.array([[1, 2]], np.float32)),
        event(4, embedding=np.array([7.0], np.float32)),
    ]
    (batch,) = build_batches(events, replica="r", max_rows=100)
    assert embeddings(batch) == [[1, 2], *[[None, None]] * 4]
    assert read(batch).numeric_features == {"age": (1, 2, 3, 3, 4)}, "and nothing else"


def test_requests_that_shared_an_engine_call_are_recorded_as_if_each_had_its_own() -> None:
    alone = [event(n, rows=1 + n % 3, embedding=np.full((1 + n % 3, 2), n, np.float32)) for n in range(6)]
    shared = called_together(*alone)
    (expected,) = build_batches(alone, replica="r", max_rows=100)
    orders = {"as they stood": shared, "some are missing": shared[:2] + shared[3:], "turned round": shared[::-1]}
    for how, some in orders.items():
        (found,) = build_batches(some, replica="r", max_rows=100)
        rows = {(i, row): (age, one) for i, row, age, one in zip(*columns_of(found), strict=True)}
        wanted = zip(*columns_of(expected), strict=True)
        left = {one.prediction_id for one in some}
        assert rows == {(i, row): (age, one) for i, row, age, one in wanted if i in left}, how


def columns_of(batch: PredictionBatch) -> tuple[tuple[object, ...], ...]:
    """Return ids, places, ages and embeddings, row by row."""
    said = read(batch)
    return said.prediction_ids, said.rows, said.numeric_features["age"], tuple(map(tuple, embeddings(batch)))


def test_an_engine_call_that_is_recorded_whole_is_not_copied() -> None:
    shared = called_together(*[event(n) for n in range(4)])
    (piece,) = own_pieces(shared)
    assert shared[0].call is not None and piece.inputs is shared[0].call.inputs
    one, three = own_pieces([shared[0], shared[2], shared[3]])
    assert (one.rows, three.rows) == (1, 2)
    assert np.shares_memory(three.inputs["age"], shared[0].call.inputs["age"]), "a view"
