"""Time series: windows of the past as inputs, the steps after them as targets, held out by time.

A row of the table is a step. Each column that is looked at is an input of its own, shape (n, window), oldest first;
targets are the next `horizon` values of the target's column, shape (n, horizon).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.late import late_module
from aiplatform.tensors import DType, TensorSpec
from training.data.cache import DataCache
from training.data.combined import is_combined
from training.data.dataset import Array, DataKind, Dataset, Part, Target
from training.data.fetch import fingerprint_path, local_copy
from training.data.http import CHECKSUM, is_web_address
from training.data.location import parse_location
from training.data.reading import SourceReport
from training.data.table import tensor_name
from training.data.table_files import CSV_SUFFIXES, JSON_SUFFIXES, PARQUET_SUFFIXES, read_table_file

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = late_module("pyarrow")

TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1  # of all steps: the last ones, and those before them
_SUFFIXES = CSV_SUFFIXES + PARQUET_SUFFIXES + JSON_SUFFIXES


@dataclass(frozen=True, kw_only=True)
class SeriesPlan:
    """What is looked at. `others` are further columns of the past; `time` sorts the rows, empty: they are in order."""

    target: str
    window: int
    horizon: int
    others: tuple[str, ...] = ()
    time: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that are inputs, the target's first."""
        return (self.target, *self.others)


def load_series(uri: str, plan: SeriesPlan, *, scratch: Path, cache: DataCache | None = None) -> Dataset:
    """Return the windows of a CSV, Parquet or JSON lines file.

    Validation and test rows forecast steps that come after all that training rows know of. A window whose targets
    are not all there is left out; missing values of the past are NaN.
    Raises: InvalidInputError or InvalidConfigurationError naming what is wrong; UnavailableError if a store or a
    download cannot be reached.
    """
    location = parse_location(uri)
    checksum = ""
    if is_combined(uri) or not location.path.lower().endswith(_SUFFIXES):
        raise InvalidInputError(f"a series comes from one file that ends in {', '.join(_SUFFIXES)}, not '{uri}'")
    if is_web_address(location.place):
        location, checksum = location.take_option(CHECKSUM)
    location.check_options(())
    with local_copy(location.place, scratch=scratch, cache=cache, checksum=checksum) as path:
        return build_series(read_columns(path, plan), plan, where=path.name, fingerprint=fingerprint_path(path))


def read_columns(path: Path, plan: SeriesPlan) -> dict[str, Array]:
    """Return the plan's columns in the order of time, shape (steps,), float32 with NaN where values are missing."""
    report = SourceReport(source=path.name)
    rows = read_table_file(path, report)
    report.settle(total=rows.table.num_rows + report.bad_count)  # a step that cannot be read would shift all others
    table = rows.table
    for name in (*plan.columns, *([plan.time] if plan.time else [])):
        if name not in table.column_names:
            raise InvalidConfigurationError(
                f"there is no column '{name}'; '{path}' has the columns: {', '.join(table.column_names)}"
            )
    if plan.time:
        table = table.sort_by(plan.time)
    return {name: _numbers(path, name, table.column(name)) for name in plan.columns}


def build_series(columns: dict[str, Array], plan: SeriesPlan, *, where: str, fingerprint: str) -> Dataset:
    """Return the windows of columns, split by time."""
    names = {column: tensor_name(column) for column in plan.columns}
    if len(set(names.values())) != len(names):
        raise InvalidInputError(f"'{where}': two columns have the same name once it is made of letters, digits and _")
    steps = len(columns[plan.target])
    test_from = steps - round(steps * TEST_SHARE)
    validation_from = test_from - round(steps * VALIDATION_SHARE)
    parts = {
        "training": _windows(columns, names, plan, plan.window, validation_from),
        "validation": _windows(columns, names, plan, max(plan.window, validation_from), test_from),
        "test": _windows(columns, names, plan, max(plan.window, test_from), steps),
    }
    for part, rows in parts.items():
        if not len(rows):
            raise InvalidInputError(
                f"'{where}': {steps} steps are too few: no {part} row has {plan.window} steps before it "
                f"and {plan.horizon} known values of '{plan.target}' after it"
            )
    return Dataset(
        kind=DataKind.SERIES,
        inputs=tuple(TensorSpec(name=n, dtype=DType.FP32, shape=(-1, plan.window)) for n in names.values()),
        labels=(),
        image=None,
        train=parts["training"],
        validation=parts["validation"],
        test=parts["test"],
        fingerprint=fingerprint,
        target=Target.NUMBER,
    )


def _windows(columns: dict[str, Array], names: dict[str, str], plan: SeriesPlan, first: int, end: int) -> Part:
    """Return a row for each step from `first` whose forecast ends before `end`; its window ends right before it."""
    starts = np.arange(first, end - plan.horizon + 1)  # the first step that is forecast
    target = columns[plan.target]
    if not len(starts):
        return Part(inputs={n: np.empty((0, plan.window), np.float32) for n in names.values()}, labels=target[:0])
    ahead = np.lib.stride_tricks.sliding_window_view(target, plan.horizon)[starts]  # (n, horizon)
    is_known = np.isfinite(ahead).all(axis=1)
    starts = starts[is_known]
    past = {
        names[column]: np.lib.stride_tricks.sliding_window_view(values, plan.window)[starts - plan.window]
        for column, values in columns.items()
    }
    return Part(inputs=past, labels=ahead[is_known])


def _numbers(path: Path, name: str, column: Any) -> Array:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InvalidInputError(f"'{path}': column '{name}' is of type {kind}; a series is of numbers")
    numbers = np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float32)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers
