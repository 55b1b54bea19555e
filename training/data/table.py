"""Tables in CSV, Parquet or JSON lines: every column but the target is an input of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv, json, parquet

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import Array, DataKind, Dataset, Part
from training.data.images import divide
from training.data.split import TEST_SHARE, VALIDATION_SHARE
from training.data.targets import AUTO, encode_target

CSV_SUFFIXES, PARQUET_SUFFIXES = (".csv", ".csv.gz"), (".parquet", ".pq")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
OPTIONS = ("drop",)
MISSING = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "#N/A"]
_MAX_BLOCK = 2**31 - 1


def load_table(
    path: Path, *, target: str | None, options: Mapping[str, str], seed: int, fingerprint: str, task: str = AUTO
) -> Dataset:
    """Return a table's rows; options: drop=COLUMN,COLUMN.

    Numbers become float32 with NaN where they are missing, all else text with "" where it is. `task` says whether the
    target is a class or a number (training.data.targets).
    Raises: InvalidInputError if the file or a column cannot be used; InvalidConfigurationError
    if the target is not given or not there.
    """
    table = read_table(path)
    _check_names(path, table.column_names)
    dropped = [name.strip() for name in options.get("drop", "").split(",") if name.strip()]
    target = _check_columns(path, table.column_names, target, dropped)
    truth = encode_target(_target_values(path, table, target), task=task, where=f"{path.name}, '{target}'")
    inputs, specs = {}, []
    for name in table.column_names:
        if name in (target, *dropped) or pa.types.is_null(table.column(name).type):  # a column without a value
            continue
        values = _column_values(path, name, table.column(name))
        specs.append(TensorSpec(name=tensor_name(name), dtype=DType.of(values.dtype), shape=(-1, 1)))
        inputs[tensor_name(name)] = values
    if not inputs:
        raise InvalidInputError(f"'{path}' has no column to learn from beside '{target}'")
    if len(inputs) != len(specs):
        raise InvalidInputError(f"'{path}': two columns have the same name once it is made of letters, digits and _")
    whole = Part(inputs=inputs, labels=truth.values)
    rest, test = divide(whole, share=TEST_SHARE, seed=seed)
    train, validation = divide(rest, share=VALIDATION_SHARE, seed=seed)
    return Dataset(
        kind=DataKind.TABLE,
        inputs=tuple(specs),
        labels=truth.labels,
        image=None,
        train=train,
        validation=validation,
        test=test,
        fingerprint=fingerprint,
        target=truth.target,
    )


def tensor_name(column: str) -> str:
    """Return a column's name as a tensor's: letters, digits and _, not beginning with a digit or _."""
    plain = re.sub(r"\W", "_", column, flags=re.ASCII)
    return plain if plain[:1].isalpha() else f"c{plain}" if plain.startswith("_") else f"c_{plain}"


def read_table(path: Path) -> Any:
    """Return a table file as an Arrow table.

    Raises: InvalidInputError if it cannot be read.
    """
    try:
        if path.name.lower().endswith(PARQUET_SUFFIXES):
            return parquet.read_table(path)
        if path.name.lower().endswith(JSON_SUFFIXES):
            return _read_json_lines(path)
        return csv.read_csv(
            path,
            read_options=csv.ReadOptions(block_size=_MAX_BLOCK),  # types are guessed from the first block
            convert_options=csv.ConvertOptions(null_values=MISSING, strings_can_be_null=True),
        )
    except (pa.ArrowException, OSError) as error:
        raise InvalidInputError(f"'{path}' cannot be read as a table: {error}") from error


def _read_json_lines(path: Path) -> Any:
    """Return one row a line; a key that a line lacks is missing there. Values are numbers, texts, booleans, null."""
    options = json.ReadOptions(block_size=_MAX_BLOCK)
    with pa.input_stream(path, compression="detect") as file:
        table = json.read_json(file, read_options=options)
    for field in table.schema:
        if pa.types.is_nested(field.type):
            raise InvalidInputError(f"'{path}': '{field.name}' holds lists or objects; a column holds one value a row")
    return table


def _check_names(path: Path, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidInputError(f"'{path}' has more than one column named {', '.join(repeated)}")
    if not names:
        raise InvalidInputError(f"'{path}' has no columns")


def _check_columns(path: Path, names: list[str], target: str | None, dropped: list[str]) -> str:
    there = f"'{path}' has the columns: {', '.join(names)}"
    if not target:
        raise InvalidConfigurationError(f"a table needs a target column; {there}")
    for name in (target, *dropped):
        if name not in names:
            raise InvalidConfigurationError(f"there is no column '{name}'; {there}")
    return target


def _target_values(path: Path, table: Any, target: str) -> Array:
    column = table.column(target)
    if not len(column):
        raise InvalidInputError(f"'{path}' has no rows")
    if column.null_count:
        raise InvalidInputError(f"'{path}': target '{target}' is missing in {column.null_count} rows")
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy())
    return _texts(column).astype(str)


def _column_values(path: Path, name: str, column: Any) -> Array:
    """Return one column as an input, shape (n, 1)."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float32)
        numbers[~np.isfinite(numbers)] = np.nan
        return numbers[:, None]
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    if is_text or pa.types.is_boolean(kind):
        return _texts(column)[:, None]
    raise InvalidInputError(
        f"'{path}': column '{name}' is of type {kind}; columns must be numbers, texts or true and false "
        f"(append '?drop={name}' to leave it out)"
    )


def _texts(column: Any) -> Array:
    return np.array([_text(value) for value in column.to_pylist()], dtype=object)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
