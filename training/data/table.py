"""Rows of named columns: every column but the target is an input of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.late import late_module
from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import Array, DataKind, Dataset, Part
from training.data.images import choose_rows
from training.data.reading import Reading
from training.data.split import GROUP, TEST, TIME, TRAIN, VALIDATION, SplitRule, split_parts
from training.data.table_files import TableRows
from training.data.targets import encode_target

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import compute
else:
    pa = late_module("pyarrow")
    compute = late_module("pyarrow.compute")

OPTIONS = ("drop", "numbers")


@dataclass(frozen=True, kw_only=True)
class TablePlan:
    """Which columns are what. `numbers` must hold numbers; the split's column is no input."""

    target: str
    inputs: tuple[str, ...]
    numbers: tuple[str, ...]
    split: SplitRule


def build_table_dataset(rows: TableRows, reading: Reading) -> Dataset:
    """Return a table's rows; options: drop=COLUMN,COLUMN and numbers=COLUMN,COLUMN.

    Numbers become float32 with NaN where they are missing, all else text with "" where it is. A row without a
    target, without a value of the split's column, or with a text where `numbers` wants a number, is bad.
    Raises: InvalidInputError if the rows or a column cannot be used; InvalidConfigurationError
    if the target is not given or not there.
    """
    report, total = reading.report, rows.table.num_rows + reading.report.bad_count
    if not rows.table.num_rows:
        report.settle(total=total)
        raise InvalidInputError(f"'{report.source}' has no rows")
    plan = plan_table(rows.table.schema, reading)
    rows = drop_bad_rows(rows, plan, reading)
    report.settle(total=total)
    table = rows.table
    if not table.num_rows:
        raise InvalidInputError(f"'{report.source}' has no rows")
    where = f"{report.source}, '{plan.target}'"
    truth = encode_target(target_values(table.column(plan.target)), task=reading.task, where=where)
    inputs = {tensor_name(name): column_values(report.source, name, table.column(name)) for name in plan.inputs}
    specs = [TensorSpec(name=name, dtype=DType.of(array.dtype), shape=(-1, 1)) for name, array in inputs.items()]
    values = split_values(table, plan.split)
    chosen = split_parts(truth.values, rule=plan.split, seed=reading.seed, values=values)
    report.rows = {TRAIN: len(chosen.train), VALIDATION: len(chosen.validation), TEST: len(chosen.test)}
    whole = Part(inputs=inputs, labels=truth.values)
    return Dataset(
        kind=DataKind.TABLE,
        inputs=tuple(specs),
        labels=truth.labels,
        image=None,
        train=choose_rows(whole, chosen.train),
        validation=choose_rows(whole, chosen.validation),
        test=choose_rows(whole, chosen.test),
        fingerprint=reading.fingerprint,
        target=truth.target,
    )


def plan_table(schema: Any, reading: Reading) -> TablePlan:
    """Return what each column of an Arrow schema is for.

    Raises: InvalidInputError or InvalidConfigurationError naming the column that is not there or cannot be used.
    """
    source, names = reading.report.source, list(schema.names)
    _check_names(source, names)
    dropped, numbers = (_names(reading.options.get(option, "")) for option in OPTIONS)
    needed = [*dropped, *numbers, *_names(reading.split.column)]
    target = _check_columns(source, names, reading.target, needed)
    if reading.split.column == target:
        raise InvalidConfigurationError(f"split={reading.split}: '{target}' is the target, and cannot split the rows")
    taken = (target, reading.split.column, *dropped)
    inputs = [name for name in names if name not in taken and not pa.types.is_null(schema.field(name).type)]
    if not inputs:
        raise InvalidInputError(f"'{source}' has no column to learn from beside '{target}'")
    if len({tensor_name(name) for name in inputs}) != len(inputs):
        raise InvalidInputError(f"'{source}': two columns have the same name once it is made of letters, digits and _")
    return TablePlan(target=target, inputs=tuple(inputs), numbers=tuple(numbers), split=reading.split)


def drop_bad_rows(rows: TableRows, plan: TablePlan, reading: Reading) -> TableRows:
    """Return the rows that can be used; the others are noted in the reading's report."""
    table, report = rows.table, reading.report
    is_bad = np.zeros(table.num_rows, dtype=bool)
    for name in plan.numbers:
        table, failed = _as_numbers(table, name)
        for row in np.flatnonzero(failed & ~is_bad).tolist():
            report.add_bad(f"row {rows.numbers[row]}", f"'{name}' is no number: {rows.table.column(name)[row].as_py()}")
        is_bad |= failed
    for name, missing in _missing(table, plan):
        for row in np.flatnonzero(missing & ~is_bad).tolist():
            report.add_bad(f"row {rows.numbers[row]}", f"'{name}' is missing or cannot be read")
        is_bad |= missing
    if not is_bad.any():
        return TableRows(table=table, numbers=rows.numbers)
    return TableRows(table=table.filter(pa.array(~is_bad)), numbers=rows.numbers[~is_bad])


def _missing(table: Any, plan: TablePlan) -> list[tuple[str, Array]]:
    found = [(plan.target, _is_missing(table.column(plan.target)))]
    if plan.split.kind == TIME:
        found.append((plan.split.column, ~np.isfinite(moments_of(table.column(plan.split.column)))))
    elif plan.split.column:
        found.append((plan.split.column, _is_missing(table.column(plan.split.column))))
    return found


def _is_missing(column: Any) -> Array:
    return np.asarray(compute.is_null(column, nan_is_null=True))


def _as_numbers(table: Any, name: str) -> tuple[Any, Array]:
    """Return the table with a column as numbers, and which of its values are none."""
    column = table.column(name)
    if pa.types.is_null(column.type) or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return table, np.zeros(table.num_rows, dtype=bool)
    place, none = table.column_names.index(name), np.zeros(table.num_rows, dtype=bool)
    try:
        return table.set_column(place, name, column.cast(pa.float64())), none
    except pa.ArrowInvalid:  # one is a text: look at each
        numbers = np.array([_number(value) for value in column.to_pylist()], dtype=np.float64)
    failed = np.isnan(numbers) & ~np.asarray(compute.is_null(column))
    return table.set_column(place, name, pa.array(numbers, from_pandas=True)), failed


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else float("nan")
    except ValueError:
        return float("nan")


def split_values(table: Any, rule: SplitRule) -> Array | None:
    """Return the values by which a rule splits, shape (n,); None if it needs none."""
    if not rule.column:
        return None
    column = table.column(rule.column)
    if rule.kind == TIME:
        return moments_of(column)
    return texts_of(column).astype(str) if rule.kind == GROUP else texts_of(column)


def moments_of(column: Any) -> Array:
    """Return numbers that grow with time, shape (n,); NaN where there is none."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        micros = column.cast(pa.timestamp("us")).cast(pa.int64())
        return np.array(micros.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    texts = column.to_pylist()
    return np.array([_moment(text) for text in texts], dtype=np.float64)


def _moment(text: Any) -> float:
    try:
        moment = np.datetime64(str(text).strip().removesuffix("Z"), "us")
    except ValueError:
        return float("nan")
    return float("nan") if np.isnat(moment) else float(moment.astype(np.int64))


def tensor_name(column: str) -> str:
    """Return a column's name as a tensor's: letters, digits and _, not beginning with a digit or _."""
    plain = re.sub(r"\W", "_", column, flags=re.ASCII)
    return plain if plain[:1].isalpha() else f"c{plain}" if plain.startswith("_") else f"c_{plain}"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check_names(source: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidInputError(f"'{source}' has more than one column named {', '.join(repeated)}")
    if not names:
        raise InvalidInputError(f"'{source}' has no columns")


def _check_columns(source: str, names: list[str], target: str | None, needed: list[str]) -> str:
    there = f"'{source}' has the columns: {', '.join(names)}"
    if not target:
        raise InvalidConfigurationError(f"a table needs a target column; {there}")
    for name in (target, *needed):
        if name not in names:
            raise InvalidConfigurationError(f"there is no column '{name}'; {there}")
    return target


def target_values(column: Any) -> Array:
    """Return the target as numbers or texts, shape (n,); none is missing."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy())
    return texts_of(column).astype(str)


def column_values(source: str, name: str, column: Any) -> Array:
    """Return one column as an input, shape (n, 1).

    Raises: InvalidInputError if it holds neither numbers nor texts nor true and false.
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float32)
        numbers[~np.isfinite(numbers)] = np.nan
        return numbers[:, None]
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    if is_text or pa.types.is_boolean(kind):
        return texts_of(column)[:, None]
    raise InvalidInputError(
        f"'{source}': column '{name}' is of type {kind}; columns must be numbers, texts or true and false "
        f"(append '?drop={name}' to leave it out)"
    )


def texts_of(column: Any) -> Array:
    """Return a column's values as texts, shape (n,); "" where they are missing."""
    return np.array([_text(value) for value in column.to_pylist()], dtype=object)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
