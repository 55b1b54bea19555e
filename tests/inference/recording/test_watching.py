"""Of a busy version an even sample of the rows has features; all else is of every row."""

from __future__ import annotations

import numpy as np
import pytest

from aiplatform.contracts.columns import Numbers
from aiplatform.contracts.monitoring import PredictionBatch
from inference.recording.columns import assemble_batches, digest_events
from inference.recording.watching import WatchedRows
from inference.recording_api import PredictionEvent
from tests.inference.recording.fakes import called_together, event, failed


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Chosen(WatchedRows):
    """Watches the rows at the given places of each part."""

    def __init__(self, *places: int) -> None:
        super().__init__(0)
        self.places = np.array(places, np.int64)

    def choose(self, version: object, rows: int) -> np.ndarray:
        return self.places[self.places < rows]


def build(events: list[PredictionEvent], *places: int) -> PredictionBatch:
    parts = digest_events(events, watch=Chosen(*places))
    (batch,) = assemble_batches(parts, replica="r", max_rows=1000)
    return batch


def ages(batch: PredictionBatch) -> list[float]:
    assert batch.watched is not None
    column: Numbers = batch.numeric_features["age"]
    return list(column.unpack(len(batch.watched.raw) // 4, "age").tolist())


def places(batch: PredictionBatch) -> list[int]:
    assert batch.watched is not None
    return list(np.frombuffer(batch.watched.raw, "<u4").tolist())


def test_all_rows_of_a_quiet_version_are_watched() -> None:
    clock = Clock()
    watch = WatchedRows(1000, clock=clock, seed=1)
    for _ in range(10):
        watch.count("a", 1000)
        assert watch.choose("a", 1000) is None
        clock.now_s += 1.0


def test_of_a_busy_version_about_the_limit_is_watched_after_its_first_second_and_of_a_quiet_one_beside_it_all() -> None:
    clock = Clock()
    watch = WatchedRows(1000, clock=clock, seed=1)
    watch.count("busy", 20_000)
    assert watch.choose("busy", 20_000) is None  # nobody knew yet
    clock.now_s += 1.0
    watch.count("quiet", 5)
    assert watch.choose("quiet", 5) is None
    watch.count("busy", 20_000)
    found = watch.choose("busy", 20_000)
    assert found is not None
    assert len(found) == pytest.approx(1000, abs=160)  # five standard deviations
    assert np.all(np.diff(found) > 0) and found[0] >= 0 and found[-1] < 20_000
    assert found.mean() == pytest.approx(10_000, abs=5 * 20_000 / 12**0.5 / 1000**0.5)  # evenly
    clock.now_s += 60.0
    watch.count("busy", 20_000)  # 20,000 in a minute were few
    assert watch.choose("busy", 20_000) is None


def test_a_limit_of_nothing_watches_all() -> None:
    clock = Clock()
    watch = WatchedRows(0, clock=clock)
    for _ in range(3):
        watch.count("busy", 10**6)
        assert watch.choose("busy", 10**6) is None
        clock.now_s += 1.0


def test_rows_that_are_not_watched_have_all_but_features() -> None:
    batch = build([event(n) for n in range(5)], 1, 3)
    assert batch.row_count == 5
    assert places(batch) == [1, 3] and ages(batch) == [1.0, 3.0]
    assert batch.predicted_labels is not None and batch.predicted_labels.to_list() == ["yes"] * 5
    assert batch.confidences is not None
    assert batch.confidences.unpack(5, "confidences").tolist() == pytest.approx([0.75] * 5)
    assert len(batch.prediction_ids) == 5


@pytest.mark.parametrize("is_shared", [True, False])
def test_rows_are_chosen_over_requests_and_engine_calls(is_shared: bool) -> None:
    events = [event(n, rows=3, embedding=np.full((3, 2), n, np.float32)) for n in range(4)]
    batch = build(called_together(*events) if is_shared else events, 2, 3, 11)
    assert places(batch) == [2, 3, 11] and ages(batch) == [0.0, 1.0, 3.0]
    assert [column.unpack(3, "embedding").tolist() for column in batch.embedding] == [[0.0, 1.0, 3.0]] * 2


def test_parts_are_joined_with_the_places_in_the_whole_and_failed_requests_between_them() -> None:
    parts = [
        *digest_events([event(n) for n in range(3)], watch=Chosen(2)),
        *digest_events([failed(3), failed(4)], watch=Chosen(0)),
        *digest_events([event(5), event(6)], watch=Chosen()),
        *digest_events([event(7), event(8)], watch=Chosen(1)),
    ]
    (batch,) = assemble_batches(parts, replica="r", max_rows=1000)
    assert batch.row_count == 9
    assert places(batch) == [2, 3, 4, 8]
    found = ages(batch)
    assert (found[0], found[-1]) == (2.0, 8.0) and np.isnan(found[1:3]).all()


def test_without_a_watched_row_there_are_no_features_and_no_row_is_lost() -> None:
    batch = build([event(1), event(2)])
    assert (places(batch), batch.numeric_features, batch.row_count) == ([], {}, 2)


def test_images_of_different_sizes_are_counted_once_and_sampled() -> None:
    sizes = [{"image": np.full((1, side, side, 1), 10, dtype=np.float32)} for side in (8, 16)]
    watch = Chosen(0, 1)
    parts = digest_events([event(n, inputs=sizes[n % 2]) for n in range(6)], watch=watch)
    (batch,) = assemble_batches(parts, replica="r", max_rows=1000)
    assert places(batch) == [0, 1, 3, 4]  # the first two of each size: rows stand by size now
    assert sum(watch._counts.values()) == 6
