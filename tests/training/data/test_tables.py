"""Tables in CSV and Parquet: types, missing values, and errors that name columns."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.tensors import DType
from training.data.dataset import Dataset
from training.data.sources import load_dataset
from training.data.table import tensor_name

ROWS = 60
COLUMNS = {
    "age": [None if i % 10 == 0 else i for i in range(ROWS)],
    "Job title": [None if i % 7 == 0 else ("clerk", "cook")[i % 2] for i in range(ROWS)],
    "member": [i % 3 == 0 for i in range(ROWS)],
    "class": [("good", "bad")[i % 2] for i in range(ROWS)],
}


def load(uri: Path | str, tmp_path: Path, target: str | None = "class") -> Dataset:
    return load_dataset(str(uri), target=target, seed=1, scratch=tmp_path)


def write(path: Path, columns: dict[str, list[object]] | None = None) -> Path:
    table = pa.table(columns or COLUMNS)
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        csv.write_csv(table, path)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_numbers_and_categories_become_inputs_of_their_own(tmp_path: Path, name: str) -> None:
    data = load(write(tmp_path / name), tmp_path)
    assert {spec.name: spec.dtype for spec in data.inputs} == {
        "age": DType.FP32,
        "Job_title": DType.BYTES,
        "member": DType.BYTES,
    }
    assert all(spec.shape == (-1, 1) for spec in data.inputs)
    assert data.labels == ("bad", "good")
    for spec in data.inputs:
        spec.check(data.train.rows(slice(None))[0][spec.name])


def test_what_is_missing_is_nan_or_empty(tmp_path: Path) -> None:
    data = load(write(tmp_path / "t.csv"), tmp_path)
    parts = (data.train, data.validation, data.test)
    ages = np.concatenate([part.inputs["age"] for part in parts])
    jobs = np.concatenate([part.inputs["Job_title"] for part in parts])
    assert int(np.isnan(ages).sum()) == 6
    assert int((jobs == "").sum()) == 9


def test_csv_types_are_taken_from_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "late.csv"
    lines = [f"{i},{'yes' if i % 2 else 'no'}" for i in range(300_000)]
    path.write_text("\n".join(["amount,class", *lines, "1.5,yes", "?,no"]))
    data = load(path, tmp_path)
    assert data.inputs[0].dtype is DType.FP32


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    data = load(f"{write(tmp_path / 't.csv')}?drop=age,member", tmp_path)
    assert [spec.name for spec in data.inputs] == ["Job_title"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "needs a target column; .* has the columns: age, Job title, member, class"),
        ("clas", "no column 'clas'; .* has the columns: age, Job title, member, class"),
    ],
)
def test_a_missing_target_names_the_columns(tmp_path: Path, target: str | None, message: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=message):
        load(write(tmp_path / "t.csv"), tmp_path, target)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table"),
        ("a,class\n1,x,3\n", "bad rows, 1 of 1: row 1: 3 values, not 2: 1,x,3"),
        ("a,class\n", "has no rows"),
        ("a,a,class\n1,2,x\n", "more than one column named a"),
        ("class\nx\ny\n", "no column to learn from"),
        ("a,class\n1,x\n2,\n", "bad rows, 1 of 2: row 2: .class. is missing"),
        ("a,class\n" + "\n".join(f"1,{i}.5" for i in range(9)), "9 rows are too few"),
        ("a,class\n" + "\n".join(f"1,{i}.5" for i in range(90)) + "\n1,inf", "whole numbers or texts, not float64"),
        ("a b,a_b,class\n" + "1,2,x\n1,2,y\n" * 9, "two columns have the same name"),
        ("a,class\n2020-01-01,x\n2021-01-01,y\n", r"column 'a' is of type date32.*\?drop=a"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        load(path, tmp_path)


def test_a_corrupt_parquet_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidInputError, match=r"t\.parquet' cannot be read as a table"):
        load(path, tmp_path)


@pytest.mark.parametrize(
    ("column", "name"),
    [("age", "age"), ("Job title", "Job_title"), ("_x", "c_x"), ("1st", "c_1st"), ("größe", "gr__e")],
)
def test_tensor_names_are_plain(column: str, name: str) -> None:
    assert tensor_name(column) == name
