"""Rows read without the query engine are those that it would give; many files share one engine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from aiplatform.predictions.files import StoredFile
from monitoring.store.reading import Selection, read_files
from tests.monitoring.store.stored import NOW, a_prediction, label, store

SECOND = timedelta(seconds=1)


def rows(files: list[StoredFile], selection: Selection) -> list[dict[str, Any]]:
    return [row for _, batch in read_files(files, selection) for row in batch.to_pylist()]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count the engines that are started."""
    started: list[Any] = []

    def connect(*args: Any, **options: Any) -> Any:
        started.append(args)
        return real(*args, **options)

    real = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", connect)
    return started


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"since": NOW + SECOND}, [1, 2, 3, 4, 5]),
        ({"until": NOW + 3 * SECOND}, [0, 1, 2]),
        ({"since": NOW + SECOND, "until": NOW + 4 * SECOND, "version": 2}, [1, 2, 3]),
        ({"version": 1}, []),
        ({"columns": ("prediction_id", "label")}, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_the_filter_of_batches_keeps_what_the_query_engine_keeps(changes: dict[str, Any], kept: list[int]) -> None:
    events = [a_prediction(NOW + n * SECOND, version=2) for n in range(6)]
    files = [store(*events)]
    plain, asked = (rows(files, Selection(**changes, where=where)) for where in ("", "true"))
    assert plain == asked
    assert [row["prediction_id"] for row in plain] == [events[n].prediction_id for n in kept]


def test_ids_are_filtered_alike_and_their_columns_come_in_the_order_asked() -> None:
    events = [a_prediction(NOW + n * SECOND) for n in range(3)]
    chosen = Selection(prediction_ids=(events[1].prediction_id, "none"), columns=("version", "prediction_id"))
    assert [list(row.items()) for row in rows([store(*events)], chosen)] == [
        [("version", 1), ("prediction_id", events[1].prediction_id)]
    ]


def test_files_with_nothing_to_join_start_no_engine_and_all_others_share_one(engines: list[Any]) -> None:
    events = [a_prediction(NOW + n * SECOND) for n in range(6)]
    files = [store(event) for event in events]
    assert len(rows(files, Selection())) == 6
    assert not engines
    for event in events[1:5]:
        label(event, "bad")
    assert [row["label"] for row in rows(files, Selection())] == [None, "bad", "bad", "bad", "bad", None]
    assert len(engines) == 1


def test_a_damaged_file_between_others_costs_its_own_rows_only() -> None:
    files = []
    for n in range(3):
        events = [a_prediction(NOW + timedelta(minutes=n, milliseconds=i)) for i in range(3000)]
        files.append(store(*events))
        label(events[0], "bad")  # so that the engine reads it
    place = Path(files[1].uri.removeprefix("file://"))
    content = bytearray(place.read_bytes())
    content[len(content) // 3] ^= 0xFF
    place.write_bytes(content)
    told: list[str] = []
    found = [file.name for file, batch in read_files(files, Selection(), on_problem=lambda f, _: told.append(f.name))
             for _ in range(batch.num_rows)]  # fmt: skip
    assert told == [files[1].name]
    assert [found.count(file.name) for file in (files[0], files[2])] == [3000, 3000]
