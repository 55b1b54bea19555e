"""Writes a series' columns to disk in a pass over its file, and puts them into the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.late import late_module
from training.data.columns import ColumnFiles, ColumnWriter
from training.data.dataset import Array
from training.data.reading import SourceReport
from training.data.table import moments_of
from training.data.table_blocks import table_blocks
from training.data.table_files import TableRows

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import compute
else:
    pa, compute = late_module("pyarrow"), late_module("pyarrow.compute")

AT_ONCE = 4_000_000  # steps of a column that is in memory already, written at a time


@dataclass(kw_only=True)
class _Seen:
    """What a pass over the blocks has found. `empty`: columns without a number so far; `moments` by block."""

    empty: set[str]
    known: set[str] = field(default_factory=set)
    moments: list[Array] = field(default_factory=list)
    is_time_numeric: bool | None = None


def write_series(path: Path, columns: tuple[str, ...], time: str, report: SourceReport, *, folder: Path) -> ColumnFiles:
    """Return a file's columns on disk, in the order of `time` (empty: their own), float32 with NaN where none is.

    Kept in memory are the moments, and one column while it is put into their order: 20 bytes a step.
    Raises: InvalidInputError or InvalidConfigurationError naming the row or column that cannot be used.
    """
    seen = _Seen(empty=set(columns))
    with ColumnWriter(folder) as writer:
        for block in _blocks(path, columns, time, report, seen):
            writer.add(block)
    report.settle(total=writer.rows + report.bad_count)  # a step that cannot be read would shift all others
    missing = [name for name in (*columns, *([time] if time else [])) if name not in seen.known]
    if missing:
        raise InvalidConfigurationError(
            f"there is no column '{missing[0]}'; '{path}' has the columns: {', '.join(sorted(seen.known))}"
        )
    for name in columns:
        if name in seen.empty:
            raise InvalidInputError(f"'{path}': column '{name}' holds no number; a series is of numbers")
    files = writer.finish()
    if time:
        _sort(files, np.concatenate(seen.moments))
    return files


def write_columns(columns: dict[str, Array], *, folder: Path) -> ColumnFiles:
    """Return columns that are in memory, shape (steps,), as columns on disk."""
    steps = len(next(iter(columns.values())))
    with ColumnWriter(folder) as writer:
        for start in range(0, steps, AT_ONCE):
            writer.add({name: values[start : start + AT_ONCE] for name, values in columns.items()})
    return writer.finish()


def order_of(column: Any, *, where: str) -> Array:
    """Return the order of time of rows, shape (n,): those of one moment stay as they are.

    Raises: InvalidInputError naming the first row that has none.
    """
    moments = _moments(column)
    _check_moments(moments, where=where, first=1)
    return np.argsort(moments, kind="stable")


def numbers_of(column: Any, *, where: str) -> Array:
    """Return a column as numbers, shape (n,), float32 with NaN where they are missing.

    Raises: InvalidInputError if it is of another type.
    """
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InvalidInputError(f"{where} is of type {kind}; a series is of numbers")
    numbers = np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float32)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _blocks(
    path: Path, columns: tuple[str, ...], time: str, report: SourceReport, seen: _Seen
) -> Iterator[dict[str, Array]]:
    for rows in table_blocks(path, report):
        if not rows.table.num_rows:
            continue
        there = set(rows.table.column_names)
        seen.known |= there
        if time:
            seen.moments.append(_block_moments(path, rows, time, seen))
        yield {name: _block_numbers(path, rows, name, seen) for name in columns}


def _block_numbers(path: Path, rows: TableRows, name: str, seen: _Seen) -> Array:
    table = rows.table
    if name not in table.column_names or pa.types.is_null(table.column(name).type):
        return np.full(table.num_rows, np.nan, dtype=np.float32)
    column = table.column(name)
    if pa.types.is_string(column.type):  # of a CSV, whose types nobody knows before its end
        column = _parse(path, rows, name)
    numbers = numbers_of(column, where=f"'{path}': column '{name}'")
    if np.isfinite(numbers).any():
        seen.empty.discard(name)
    return numbers


def _parse(path: Path, rows: TableRows, name: str) -> Any:
    texts = compute.utf8_trim_whitespace(rows.table.column(name))
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid:
        for number, text in zip(rows.numbers.tolist(), texts.to_pylist(), strict=True):
            if text is not None and not _is_number(text):
                raise InvalidInputError(
                    f"'{path}': column '{name}' holds a text, '{text}' in row {number}; a series is of numbers"
                ) from None
        raise


def _is_number(text: str) -> bool:
    try:
        pa.scalar(text).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _block_moments(path: Path, rows: TableRows, time: str, seen: _Seen) -> Array:
    """Return a block's moments; the first one says whether a CSV's texts are numbers or times."""
    if time not in rows.table.column_names:
        raise InvalidInputError(f"'{path}': column '{time}' has no value in row {rows.numbers[0]}")
    column = rows.table.column(time)
    if pa.types.is_string(column.type) and seen.is_time_numeric is not False:
        try:
            column, seen.is_time_numeric = column.cast(pa.float64()), True
        except pa.ArrowInvalid:
            if seen.is_time_numeric:
                raise InvalidInputError(
                    f"'{path}': column '{time}' holds numbers at first, and texts from row {rows.numbers[0]} on"
                ) from None
            seen.is_time_numeric = False
    moments = _moments(column)
    _check_moments(moments, where=f"'{path}': column '{time}'", first=int(rows.numbers[0]))
    return moments


def _moments(column: Any) -> Array:
    """Return numbers that grow with time, shape (n,); NaN where there is none."""
    if pa.types.is_string(column.type):
        for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
            try:
                return moments_of(column.cast(kind))
            except pa.ArrowInvalid:
                continue
    return moments_of(column)


def _check_moments(moments: Array, *, where: str, first: int) -> None:
    missing = np.flatnonzero(~np.isfinite(moments))
    if len(missing):
        raise InvalidInputError(
            f"{where} orders the rows: it must hold a number, a date or an ISO 8601 time in each; row "
            f"{first + int(missing[0])} has none"
        )


def _sort(files: ColumnFiles, moments: Array) -> None:
    """Put the columns on disk into the order of their moments, one after the other."""
    if (np.diff(moments) >= 0).all():
        return
    order = np.argsort(moments, kind="stable")
    for column in files.columns.values():
        path = files.folder / f"{column.stem}.bin"
        np.fromfile(path, dtype=column.dtype)[order].tofile(path)
