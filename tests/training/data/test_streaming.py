"""Sets that are larger than memory: the same rows, the same split, each once an epoch, in an order that repeats."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import csv, parquet

from aiplatform.errors import InvalidInputError
from tests.training.data.pictures import NAMES, make_bars
from tests.training.data.records import example, write_records
from tests.training.learning.test_learning import order, weights
from tests.training.recipes.reporters import RememberingReporter
from training.data import sql, table_blocks, tfrecord
from training.data.columns import ColumnWriter
from training.data.dataset import Array, Dataset, Part, Target
from training.data.reading import SourceReport
from training.data.sources import load_dataset
from training.data.streamed import StreamedPart
from training.learning import learn
from training.recipes.api import StopRequestedError

ROWS = 400
MEMORY = 4000  # bytes: nothing fits


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_blocks, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(table_blocks, "PARQUET_ROWS", 70)
    monkeypatch.setattr(sql, "BLOCK_ROWS", 60)
    monkeypatch.setattr(tfrecord, "BLOCK_RECORDS", 50)


def columns() -> dict[str, list[Any]]:
    return {
        "age": [None if i % 11 == 0 else i for i in range(ROWS)],
        "job": [None if i % 7 == 0 else ("clerk", "c\u00f6ok", "pilot, old")[i % 3] for i in range(ROWS)],
        "member": [i % 3 == 0 for i in range(ROWS)],
        "house": [f"h{i % 37}" for i in range(ROWS)],
        "day": [(i * 7) % ROWS for i in range(ROWS)],
        "risk": [("good", "bad", "none")[i % 3] for i in range(ROWS)],
    }


def write_table(path: Path) -> str:
    table = pa.table(columns())
    if path.suffix == ".csv":
        csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".jsonl":
        import json

        path.write_text("\n".join(json.dumps(row) for row in table.to_pylist()))
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE t (age integer, job text, house text, day integer, risk text)")
            rows = zip(*(columns()[name] for name in ("age", "job", "house", "day", "risk")), strict=True)
            connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
            connection.commit()
        return f"sql+sqlite:///{path}?table=t"
    return str(path)


def write_pictures(path: Path) -> str:
    pixels, labels = make_bars(ROWS)
    if path.suffix == ".tfrecord":
        pairs = zip(pixels, labels, strict=True)
        write_records(path, [example({"pixels": p.tobytes(), "label": int(y)}) for p, y in pairs])
        return f"{path}?image=pixels&shape=6x6x1"
    path.mkdir()
    if path.name == "npy":
        np.save(path / "inputs.npy", pixels)
        np.save(path / "labels.npy", labels)
    elif path.name == "float":
        np.save(path / "inputs.npy", pixels.astype(np.float64) / 255)
        np.save(path / "labels.npy", labels)
    else:
        for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            part = ("test" if number % 5 == 0 else "train") if path.name == "parts" else ""
            place = path / part / NAMES[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(place / f"{number}.png")
    return str(path)


def both(uri: str, tmp_path: Path, target: str | None) -> tuple[Dataset, Dataset]:
    here = load_dataset(uri, target=target, seed=3, scratch=tmp_path / "s")
    there = load_dataset(uri, target=target, seed=3, scratch=tmp_path / "s", memory_bytes=MEMORY)
    assert isinstance(there.train, StreamedPart)
    return here, there


def assert_alike(here: Dataset, there: Dataset) -> None:
    assert (here.inputs, here.labels, here.image, here.kind) == (there.inputs, there.labels, there.image, there.kind)
    assert here.fingerprint == there.fingerprint
    for one, other in ((here.train, there.train), (here.validation, there.validation), (here.test, there.test)):
        everything = slice(0, len(one))
        (mine, my_labels), (theirs, their_labels) = one.rows(everything), other.rows(everything)
        assert np.array_equal(my_labels, their_labels)
        for name, array in mine.items():
            if array.dtype.kind == "O":
                assert array.tolist() == theirs[name].tolist()
            else:
                assert np.allclose(array, theirs[name], equal_nan=True)


@pytest.mark.parametrize("split", ["seed", "ordered", "time:day", "group:house"])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl", "t.sqlite3"])
def test_a_table_on_disk_is_that_in_memory(tmp_path: Path, name: str, split: str) -> None:
    uri = write_table(tmp_path / name)
    assert_alike(*both(f"{uri}{'&' if '?' in uri else '?'}split={split}", tmp_path, "risk"))


@pytest.mark.parametrize("name", ["i.tfrecord", "npy", "float", "plain", "parts"])
def test_images_on_disk_are_those_in_memory(tmp_path: Path, name: str) -> None:
    assert_alike(*both(write_pictures(tmp_path / name), tmp_path, None))


def test_records_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    made = [example({"age": i, "job": f"j{i % 5}", "y": i % 2}) for i in range(ROWS)]
    assert_alike(*both(str(write_records(tmp_path / "t.tfrecord", made)), tmp_path, "y"))


@pytest.mark.parametrize(
    ("name", "split"), [("t.csv", ""), ("t.csv", "?split=group:house"), ("t.parquet", ""), ("t.db", "")]
)
@pytest.mark.parametrize("target", ["age", "day"])
def test_a_number_to_predict_is_learned_from_disk_as_from_memory(
    tmp_path: Path, name: str, split: str, target: str
) -> None:
    uri = write_table(tmp_path / name) + split
    task = "regression"
    if target == "age":  # without a value is a bad row
        uri += f"{'&' if '?' in uri else '?'}on_bad=skip&bad_limit=0.2"
    here, there = (
        load_dataset(uri, target=target, seed=3, scratch=tmp_path / "s", memory_bytes=bytes_, task=task)
        for bytes_ in (0, MEMORY)
    )
    assert isinstance(there.train, StreamedPart)
    assert (here.target, there.target) == (Target.NUMBER, Target.NUMBER)
    assert_alike(here, there)


def test_which_task_it_is_is_decided_by_all_rows(tmp_path: Path) -> None:
    lines = ["x,y", *(f"{i},{i % 5}" for i in range(600)), "600,0.5"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    for task, memory_bytes in (("auto", 0), ("auto", MEMORY)):
        data = load_dataset(
            str(tmp_path / "t.csv"), target="y", seed=3, scratch=tmp_path / "s", memory_bytes=memory_bytes, task=task
        )
        assert data.target is Target.NUMBER, "the last row has a fraction"
        assert data.train.labels.dtype == np.float32
    for memory_bytes in (0, MEMORY):
        with pytest.raises(InvalidInputError, match="labels must be whole numbers or texts"):
            load_dataset(
                str(tmp_path / "t.csv"), target="y", seed=3, scratch=tmp_path / "s", memory_bytes=memory_bytes,
                task="classification",
            )  # fmt: skip


def test_texts_are_no_number_to_predict_on_disk_either(tmp_path: Path) -> None:
    uri = write_table(tmp_path / "t.csv")
    for memory_bytes in (0, MEMORY):
        with pytest.raises(InvalidInputError, match="a regression's target must be numbers, not texts such as"):
            load_dataset(
                uri, target="risk", seed=3, scratch=tmp_path / "s", memory_bytes=memory_bytes, task="regression"
            )


def streamed(tmp_path: Path) -> StreamedPart:
    data = both(write_pictures(tmp_path / "npy"), tmp_path, None)[1]
    assert isinstance(data.train, StreamedPart)
    return replace(data.train, buffer_bytes=36 * 64 * 3 // 2)  # shards of one row, buffers of 64


def epoch(part: Part, *, size: int = 10, start: int = 0, **of: int) -> list[tuple[Array, Array]]:
    batches = part.shuffled(size, **{"seed": 1, "epoch": 1, **of}, start=start)
    return [(inputs["image"], labels) for inputs, labels in batches]


def test_an_epoch_has_each_row_once_and_batches_of_one_size(tmp_path: Path) -> None:
    part = streamed(tmp_path)
    batches = epoch(part)
    assert [len(labels) for _, labels in batches[:-1]] == [10] * (len(batches) - 1)
    assert batches[0][0].dtype == np.float32
    seen = np.concatenate([images.reshape(len(images), -1) for images, _ in batches])
    wanted = part.rows(slice(0, len(part)))[0]["image"].reshape(len(part), -1)
    assert sorted(seen.tolist()) == sorted(wanted.tolist())
    by_image = {images.tobytes(): label for images, label in zip(wanted, part.labels, strict=True)}
    for images, labels in batches:
        assert [by_image[image.tobytes()] for image in images] == labels.tolist()


def test_the_order_follows_from_seed_and_epoch_and_can_be_taken_up_anywhere(tmp_path: Path) -> None:
    part = streamed(tmp_path)
    batches = epoch(part)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(batches, epoch(part), strict=True))
    for start in (1, 6, 7, 13, len(batches) - 1):
        rest = epoch(part, start=start)
        assert len(rest) == len(batches) - start
        assert all(np.array_equal(a[0], b[0]) for a, b in zip(batches[start:], rest, strict=True))
    for other in ({"epoch": 2}, {"seed": 2}):
        assert not np.array_equal(batches[0][0], epoch(part, **other)[0][0])


def test_a_buffer_mixes_rows_from_all_over_the_set(tmp_path: Path) -> None:
    part = streamed(tmp_path)
    places = {image.tobytes(): place for place, image in enumerate(part.rows(slice(0, len(part)))[0]["image"])}
    first = [places[image.tobytes()] for images, _ in epoch(part)[:6] for image in images]
    assert min(first) < len(part) * 0.1
    assert max(first) > len(part) * 0.9
    assert np.mean(np.diff(first) == 1) < 0.1, "neighbours do not stay together"


def test_rows_are_read_in_any_order(tmp_path: Path) -> None:
    part = streamed(tmp_path)
    whole = part.rows(slice(0, len(part)))[0]["image"]
    indices = np.array([200, 3, 3, 0, 285, 100])
    assert np.array_equal(part.rows(indices)[0]["image"], whole[indices])
    together = [inputs["image"] for inputs, _ in part.batches(32)]
    assert np.array_equal(np.concatenate(together), whole)


def test_training_from_disk_stops_and_goes_on_as_an_unbroken_one(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "npy")
    changes: dict[str, Any] = {"data_uri": folder, "memory_bytes": MEMORY}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, reporter = replace(order(tmp_path / "a", batch_size=16), **changes), RememberingReporter()
    unbroken = learn(first, reporter)
    assert reporter.sources[0]["is_streamed"]
    second = replace(order(tmp_path / "b", batch_size=16), **changes)
    with pytest.raises(StopRequestedError):
        learn(second, RememberingReporter(stop_at=(2, 7)))
    resumed = learn(second, RememberingReporter())
    assert np.array_equal(weights(unbroken, tmp_path / "ma"), weights(resumed, tmp_path / "mb"))
    assert unbroken.metrics["accuracy"] > 0.9
    assert not list((tmp_path / "a" / "data").glob("columns-*")), "what was written for the training is gone"


def test_bad_rows_of_later_blocks_are_found(tmp_path: Path) -> None:
    lines = [f"{i},{i % 2}" for i in range(1000)]
    lines[700], lines[800], lines[900] = "many,1", "5,1,2", "6,"
    (tmp_path / "t.csv").write_text("a,y\n" + "\n".join(lines))
    reports: list[SourceReport] = []
    uri = f"{tmp_path}/t.csv?on_bad=skip"
    data = load_dataset(uri, target="y", seed=1, scratch=tmp_path, memory_bytes=MEMORY, reports=reports)
    assert {bad.where for bad in reports[0].bad} == {"row 701", "row 801", "row 901"}
    assert len(data.train) + len(data.validation) + len(data.test) == 997
    with pytest.raises(InvalidInputError, match=r"bad rows, 3 of 1000"):
        load_dataset(f"{tmp_path}/t.csv", target="y", seed=1, scratch=tmp_path, memory_bytes=MEMORY)


def test_lines_that_are_no_json_are_found_in_any_block(tmp_path: Path) -> None:
    lines = [f'{{"a": {i}, "y": {i % 2}}}' for i in range(500)]
    lines[444] = "nonsense"
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    reports: list[SourceReport] = []
    uri = f"{tmp_path}/t.jsonl?on_bad=skip"
    load_dataset(uri, target="y", seed=1, scratch=tmp_path, memory_bytes=MEMORY, reports=reports)
    assert [bad.where for bad in reports[0].bad] == ["line 445"]


def test_what_fits_stays_in_memory(tmp_path: Path) -> None:
    uri = write_table(tmp_path / "t.csv")
    data = load_dataset(uri, target="risk", seed=1, scratch=tmp_path, memory_bytes=10**9)
    assert not isinstance(data.train, StreamedPart)


def test_blocks_of_another_kind_are_refused(tmp_path: Path) -> None:
    with ColumnWriter(tmp_path / "c") as writer:
        writer.add({"a": np.zeros((3, 1), np.float32)})
        with pytest.raises(ValueError, match="'a' is object of shape"):
            writer.add({"a": np.zeros((3, 1), object)})


def test_a_recipe_gets_a_sample_that_is_bounded(tmp_path: Path) -> None:
    _, there = both(write_table(tmp_path / "t.csv"), tmp_path, "risk")
    sample = there.description.train
    assert 0 < len(sample) < len(there.train)
    assert len(sample.inputs["age"]) == len(sample.labels)


def test_some_of_the_inputs_can_be_chosen(tmp_path: Path) -> None:
    here, there = both(write_table(tmp_path / "t.csv"), tmp_path, "risk")
    names = ["job", "age"]
    mine, theirs = here.train.select(names), there.train.select(names)
    assert list(theirs.rows(slice(0, 5))[0]) == list(mine.rows(slice(0, 5))[0]) == names or set(
        theirs.rows(slice(0, 5))[0]
    ) == set(names)
    batch = next(iter(theirs.shuffled(7, seed=1, epoch=1)))[0]
    assert set(batch) == set(names)
    assert set(theirs.sample().inputs) == set(names)
