"""NumPy's files: a folder of inputs and labels, records, and columns of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from tests.training.data.pictures import make_bars, write_bars
from training.data.dataset import DataKind, Dataset
from training.data.sources import load_dataset


def load(uri: Path | str, tmp_path: Path, target: str | None = None) -> Dataset:
    return load_dataset(str(uri), target=target, seed=1, scratch=tmp_path)


def write(folder: Path, **arrays: object) -> Path:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array))
    return folder


@pytest.mark.parametrize("names", [("inputs", "labels"), ("images", "labels"), ("x_train", "y_train")])
def test_a_folder_of_images_is_read_as_an_npz_file_is(tmp_path: Path, names: tuple[str, str]) -> None:
    pixels, labels = make_bars(90)
    folder = write(tmp_path / "bars", **{names[0]: pixels, names[1]: labels})
    write_bars(tmp_path / "bars.npz", rows=90)
    here, there = load(folder, tmp_path), load(tmp_path / "bars.npz", tmp_path)
    assert here.kind is DataKind.IMAGES
    assert np.array_equal(here.train.inputs["image"], there.train.inputs["image"])
    assert np.array_equal(here.test.labels, there.test.labels)


def test_a_folder_of_vectors_is_a_table(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(80, 3))
    data = load(write(tmp_path / "v", inputs=vectors, labels=np.arange(80) % 2), tmp_path)
    assert [spec.name for spec in data.inputs] == ["c0", "c1", "c2"]
    assert len(data.test) == 16


def test_parts_of_a_folder_stay_parts(tmp_path: Path) -> None:
    vectors = np.arange(300, dtype=float).reshape(100, 3)
    labels = np.arange(100) % 2
    folder = write(tmp_path / "v", x_train=vectors[:80], y_train=labels[:80], x_test=vectors[80:], y_test=labels[80:])
    data = load(folder, tmp_path)
    assert sorted(data.test.inputs["c0"][:, 0]) == vectors[80:, 0].tolist()
    assert len(data.train) + len(data.validation) == 80


def test_records_are_a_table_of_their_fields(tmp_path: Path) -> None:
    records = np.zeros(60, dtype=[("age", "i4"), ("job", "U8"), ("paid", "?")])
    records["age"], records["job"], records["paid"] = np.arange(60), "cook", np.arange(60) % 2 == 0
    np.save(tmp_path / "r.npy", records)
    data = load(tmp_path / "r.npy", tmp_path, target="paid")
    assert {spec.name for spec in data.inputs} == {"age", "job"}
    assert data.labels == ("false", "true")


def test_columns_of_numbers_are_named_by_their_place(tmp_path: Path) -> None:
    array = np.random.default_rng(1).normal(size=(60, 4))
    array[:, 3] = np.arange(60) % 3
    np.save(tmp_path / "a.npy", array)
    data = load(tmp_path / "a.npy", tmp_path, target="c3")
    assert data.labels == ("0", "1", "2")
    with pytest.raises(InvalidConfigurationError, match="there is no column 'c4'"):
        load(tmp_path / "a.npy", tmp_path, target="c4")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidInputError, match=r"is not a readable \.npy file"):
        load(tmp_path / "a.npy", tmp_path, target="a")


@pytest.mark.parametrize("array", [np.zeros(5), np.zeros((2, 2, 2)), np.zeros((3, 2), dtype=complex)])
def test_an_array_that_is_no_table_says_what_it_is(tmp_path: Path, array: object) -> None:
    np.save(tmp_path / "a.npy", np.asarray(array))
    with pytest.raises(InvalidInputError, match=r"must hold records with named fields, or numbers of shape \(n, k\)"):
        load(tmp_path / "a.npy", tmp_path, target="c0")


def test_inputs_and_labels_must_be_as_many(tmp_path: Path) -> None:
    folder = write(tmp_path / "v", inputs=np.zeros((10, 2)), labels=np.zeros(9))
    with pytest.raises(InvalidInputError, match="there are 10 rows and 9 labels"):
        load(folder, tmp_path)
