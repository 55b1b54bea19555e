"""A series that stays on disk gives the windows and targets of one in memory, across every border there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from training.data import series_blocks, table_blocks
from training.data.dataset import Array, Dataset, Part
from training.data.reading import SourceReport
from training.data.series import SeriesPlaces, SeriesPlan, load_series
from training.data.series_files import SeriesPart
from training.recipes.api import TrainingOrder
from training.recipes.forecaster import Forecaster, ForecasterParameters

STEPS = 900
PLAN = SeriesPlan(target="load", window=6, horizon=3, others=("slot",))
HELD_OUT_WHOLE, THINNED = 50_000, 4_000  # bytes: of 54,000 for all windows


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_blocks, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(table_blocks, "PARQUET_ROWS", 70)
    monkeypatch.setattr(series_blocks, "AT_ONCE", 100)


def columns(*, shuffled: bool = False, gaps: bool = False) -> dict[str, list[Any]]:
    random = np.random.default_rng(5)
    load = [None if gaps and i % 97 in (0, 1) else round(50 + i / 7 + float(random.normal()), 3) for i in range(STEPS)]
    made: dict[str, list[Any]] = {
        "at": [f"2024-01-{1 + i // 48:02d} {i % 48 // 2:02d}:{i % 2 * 30:02d}:00" for i in range(STEPS)],
        "hour": list(range(STEPS)),
        "load": load,
        "slot": [None if gaps and i % 61 == 3 else i % 12 for i in range(STEPS)],
        "note": [f"a remark that nobody looks at, {i * 7919 % 1000:03d}" for i in range(STEPS)],
    }
    order = random.permutation(STEPS) if shuffled else np.arange(STEPS)
    return {name: [values[i] for i in order] for name, values in made.items()}


def write(path: Path, made: dict[str, list[Any]]) -> str:
    table = pa.table(made)
    if path.suffix == ".csv":
        csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        parquet.write_table(table, path, compression="none", use_dictionary=False)
    else:
        rows = [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def load(uri: str, tmp_path: Path, plan: SeriesPlan, memory_bytes: int = 0) -> tuple[Dataset, SourceReport]:
    reports: list[SourceReport] = []
    places = SeriesPlaces(scratch=tmp_path / "scratch", memory_bytes=memory_bytes)
    return load_series(uri, plan, places=places, reports=reports), reports[0]


def whole(part: Part) -> tuple[dict[str, Array], Array]:
    return part.rows(slice(0, len(part)))


def assert_same(one: Part, other: Part) -> None:
    (mine, my_targets), (theirs, their_targets) = whole(one), whole(other)
    assert len(one) == len(other)
    assert np.array_equal(my_targets, their_targets)
    assert list(mine) == list(theirs)
    for name, windows in mine.items():
        assert np.array_equal(windows, theirs[name], equal_nan=True)


@pytest.mark.parametrize("name", ["s.csv", "s.parquet", "s.jsonl"])
@pytest.mark.parametrize(("time", "shuffled"), [("", False), ("hour", True), ("at", True)])
def test_windows_and_targets_from_disk_are_those_from_memory(
    tmp_path: Path, name: str, time: str, shuffled: bool
) -> None:
    uri = write(tmp_path / name, columns(shuffled=shuffled, gaps=True))
    plan = SeriesPlan(target="load", window=6, horizon=3, others=("slot",), time=time)
    (here, _), (there, report) = load(uri, tmp_path, plan), load(uri, tmp_path, plan, HELD_OUT_WHOLE)
    assert isinstance(there.train, SeriesPart)
    assert (here.inputs, here.fingerprint, here.target, here.kind) == (
        there.inputs, there.fingerprint, there.target, there.kind,
    )  # fmt: skip
    for one, other in ((here.train, there.train), (here.validation, there.validation), (here.test, there.test)):
        assert_same(one, other)
    assert report.is_streamed
    assert report.note == ""
    assert report.rows == {"training": len(here.train), "validation": len(here.validation), "test": len(here.test)}


def test_a_file_that_fits_and_whose_windows_do_not_is_learned_from_disk_too(tmp_path: Path) -> None:
    made = {name: values for name, values in columns(gaps=True).items() if name in ("load", "slot")}
    uri = write(tmp_path / "s.csv", made)
    assert Path(uri).stat().st_size * 2 < HELD_OUT_WHOLE
    (here, _), (there, _) = load(uri, tmp_path, PLAN), load(uri, tmp_path, PLAN, HELD_OUT_WHOLE)
    assert isinstance(there.train, SeriesPart)
    assert_same(here.train, there.train)
    assert not isinstance(load(uri, tmp_path, PLAN, 60_000)[0].train, SeriesPart)


@pytest.mark.parametrize("memory_bytes", [HELD_OUT_WHOLE, THINNED])
def test_an_epoch_gives_each_window_once_with_its_own_targets_in_an_order_that_repeats(
    tmp_path: Path, memory_bytes: int
) -> None:
    uri = write(tmp_path / "s.csv", columns(gaps=True))
    here, there = load(uri, tmp_path, PLAN)[0].train, load(uri, tmp_path, PLAN, memory_bytes)[0].train
    inputs, targets = whole(here)
    orders = []
    for epoch in (1, 2, 1):
        seen = []
        for indices in there.order(16, seed=3, epoch=epoch):
            found, ahead = there.rows(indices)
            assert np.array_equal(ahead, targets[indices])
            assert all(np.array_equal(found[name], inputs[name][indices], equal_nan=True) for name in inputs)
            seen.append(indices)
        orders.append(np.concatenate(seen))
        assert np.array_equal(np.sort(orders[-1]), np.arange(len(here)))
    assert np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[1])
    resumed = np.concatenate(list(there.order(16, seed=3, epoch=1, start=7)))
    assert np.array_equal(resumed, orders[0][7 * 16 :])


def test_what_is_held_out_is_thinned_evenly_where_it_would_take_too_much_and_the_log_says_so(tmp_path: Path) -> None:
    uri = write(tmp_path / "s.csv", columns())
    (here, _), (there, report) = load(uri, tmp_path, PLAN), load(uri, tmp_path, PLAN, THINNED)
    inputs, targets = whole(here.test)
    found, ahead = whole(there.test)
    every = -(-len(targets) // len(ahead))
    assert every > 1
    assert np.array_equal(ahead, targets[::every])
    assert np.array_equal(found["load"], inputs["load"][::every])
    assert sum(array.nbytes for array in (*found.values(), ahead)) <= THINNED // 4
    assert f"one in {every} for testing" in " ".join(report.sentences())


def test_a_sample_of_the_training_windows_tells_means_and_goes_with_its_targets(tmp_path: Path) -> None:
    uri = write(tmp_path / "s.csv", columns())
    here, there = load(uri, tmp_path, PLAN)[0].train, load(uri, tmp_path, PLAN, HELD_OUT_WHOLE)[0]
    sample = there.description.train
    inputs, targets = whole(here)
    assert 50 < len(sample) < len(here)
    places = [int(np.flatnonzero((inputs["load"] == window).all(axis=1))[0]) for window in sample.inputs["load"]]
    assert np.array_equal(sample.labels, targets[places])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"load": (400, "much")}, "column 'load' holds a text, 'much' in row 401; a series is of numbers"),
        ({"slot": (None, "")}, "column 'slot' holds no number"),
        ({"hour": (500, "")}, "row 501 has none"),
        ({"hour": (500, "later")}, "column 'hour' holds numbers at first, and texts from row"),
        ({"hour": (None, "soon")}, "it must hold a number, a date or an ISO 8601 time in each; row 1 has none"),
    ],
)
def test_what_cannot_be_used_is_named_from_disk_as_well(
    tmp_path: Path, change: dict[str, tuple[int | None, str]], message: str
) -> None:
    made: dict[str, list[Any]] = {name: [str(value) for value in values] for name, values in columns().items()}
    for name, (place, text) in change.items():
        made[name] = [text if place in (None, i) else value for i, value in enumerate(made[name])]
    names = list(made)
    rows = [",".join(made[name][i].replace(",", ";") for name in names) for i in range(STEPS)]
    (tmp_path / "s.csv").write_text("\n".join([",".join(names), *rows]))
    plan = SeriesPlan(target="load", window=6, horizon=3, others=("slot",), time="hour")
    with pytest.raises(InvalidInputError, match=message):
        load(str(tmp_path / "s.csv"), tmp_path, plan, HELD_OUT_WHOLE)


def test_a_column_that_is_not_there_and_a_row_of_another_length_are_refused(tmp_path: Path) -> None:
    uri = write(tmp_path / "s.csv", columns())
    with pytest.raises(InvalidConfigurationError, match="there is no column 'wind'"):
        load(uri, tmp_path, SeriesPlan(target="wind", window=6, horizon=3), HELD_OUT_WHOLE)
    Path(uri).write_text(Path(uri).read_text() + "1,2\n")
    with pytest.raises(InvalidInputError, match="bad rows, 1 of 901"):
        load(uri, tmp_path, PLAN, HELD_OUT_WHOLE)


def test_a_registered_series_that_has_changed_is_refused(tmp_path: Path) -> None:
    uri = write(tmp_path / "s.csv", columns())
    order = TrainingOrder(
        recipe="forecaster", parameters={}, data_uri=uri, target="load", seed=0, work_dir=tmp_path,
        expected={uri: "sha256:another"},
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match="has changed since it was registered"):
        Forecaster().load_data(order, ForecasterParameters())
    assert [report.source for report in order.reports] == [uri]
