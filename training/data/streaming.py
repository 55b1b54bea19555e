"""From blocks of rows to a data set on disk: one pass over the source, in a few blocks' worth of memory.

Kept in memory are, for each row, its label's code and its place in a part; the rows themselves go to column files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.artifacts import Arrays, ImageInput
from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from aiplatform.tensors import DType, TensorSpec
from training.data.columns import ColumnFiles, ColumnWriter
from training.data.dataset import IMAGE, Array, DataKind, Dataset, Target
from training.data.labels import encode_labels
from training.data.reading import Reading
from training.data.split import TEST, TIME, TRAIN, VALIDATION, split_parts
from training.data.streamed import StreamedPart, make_part
from training.data.table import (
    TablePlan,
    column_values,
    drop_bad_rows,
    plan_table,
    split_values,
    target_values,
    tensor_name,
    texts_of,
)
from training.data.table_files import TableRows
from training.data.targets import CLASSIFICATION, REGRESSION, Truth, encode_target

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import compute
else:
    pa = late_module("pyarrow")
    compute = late_module("pyarrow.compute")

BUFFERS = 8  # a buffer may take this part of the memory: two are held, and what is made of them
_TRUTH = ("true", "false")


@dataclass(frozen=True, kw_only=True)
class RowBlock:
    """Some rows. Shapes: inputs (n, ...), targets (n,) numbers or texts, values (n,) of the split's column or None."""

    inputs: Arrays
    targets: Array
    values: Array | None = None


@dataclass(kw_only=True)
class _Seen:
    """Values of all rows as codes, so that a text is kept once."""

    names: dict[Any, int] = field(default_factory=dict)
    codes: list[Array] = field(default_factory=list)

    def add(self, values: Array) -> None:
        found, inverse = np.unique(values, return_inverse=True)
        places = [self.names.setdefault(name, len(self.names)) for name in found.tolist()]
        self.codes.append(np.array(places, dtype=np.int32)[inverse.reshape(-1)])

    def values(self) -> Array:
        """Return the ranks of the rows' values among all of them, shape (n,)."""
        names = np.array(list(self.names))
        rank = np.empty(len(names), dtype=np.int64)
        rank[np.argsort(names)] = np.arange(len(names))
        ranks: Array = rank[self._joined()]
        return ranks

    def texts(self) -> Array:
        """Return the rows' values, shape (n,)."""
        texts: Array = np.array(list(self.names), dtype=object)[self._joined()]
        return texts

    def encode(self, where: str) -> Truth:
        """Return the rows' classes, as encode_labels does."""
        codes, labels = encode_labels({"target": np.array(list(self.names))}, where=where)
        return Truth(values=codes["target"][self._joined()], labels=labels, target=Target.CLASSES)

    def _joined(self) -> Array:
        return np.concatenate(self.codes)


class _Targets:
    """The targets of all rows: numbers as they are, texts as codes. Which they are decide the first rows."""

    def __init__(self) -> None:
        self._numbers: list[Array] = []
        self._texts = _Seen()

    def add(self, values: Array) -> None:
        if values.dtype.kind in "fiu":
            self._numbers.append(values)
        else:
            self._texts.add(values)

    def encode(self, where: str, *, task: str) -> Truth:
        """Return what is learned, as of rows in memory."""
        if self._numbers:
            return encode_target(np.concatenate(self._numbers), task=task, where=where)
        if task == REGRESSION:
            return encode_target(self._texts.texts()[:1], task=task, where=where)  # which says that they are no numbers
        return self._texts.encode(where)


def build_streamed_dataset(
    blocks: Iterable[RowBlock], reading: Reading, *, kind: DataKind, folder: Path, memory_bytes: int
) -> Dataset:
    """Return a data set whose rows lie in `folder`, and take at most about `memory_bytes` when they are learned from.

    Raises: InvalidInputError if there are no rows, or they cannot be used or split as ordered.
    """
    report, targets, values = reading.report, _Targets(), _Values(reading)
    report.is_streamed = True
    with ColumnWriter(folder) as writer:
        for block in blocks:
            try:
                writer.add(block.inputs)
            except ValueError as error:
                raise InvalidInputError(f"'{report.source}': {error}") from error
            targets.add(block.targets)
            values.add(block.values)
    report.settle(total=writer.rows + report.bad_count)
    if not writer.rows:
        raise InvalidInputError(f"'{report.source}' has no rows")
    files = writer.finish()
    task = reading.task if kind is DataKind.TABLE else CLASSIFICATION
    truth = targets.encode(report.source, task=task)
    chosen = split_parts(truth.values, rule=reading.split, seed=reading.seed, values=values.joined())
    report.rows = {TRAIN: len(chosen.train), VALIDATION: len(chosen.validation), TEST: len(chosen.test)}
    buffer_bytes = memory_bytes // BUFFERS

    def part(places: Array) -> StreamedPart:
        return make_part(files, places, truth.values[places], buffer_bytes=buffer_bytes, seed=reading.seed)

    return Dataset(
        kind=kind,
        inputs=_specs(files, kind),
        labels=truth.labels,
        image=_image(files) if kind is DataKind.IMAGES else None,
        train=part(chosen.train),
        validation=part(chosen.validation),
        test=part(chosen.test),
        fingerprint=reading.fingerprint,
        target=truth.target,
    )


class _Values:
    """The values by which the rows are split: numbers for 'time', ranks for 'group', texts for 'column'."""

    def __init__(self, reading: Reading) -> None:
        self._rule, self._seen = reading.split, _Seen()
        self._moments: list[Array] = []

    def add(self, values: Array | None) -> None:
        if values is None:
            return
        if self._rule.kind == TIME:
            self._moments.append(values)
        else:
            self._seen.add(values.astype(str))

    def joined(self) -> Array | None:
        if self._moments:
            return np.concatenate(self._moments)
        if not self._seen.codes:
            return None
        return self._seen.values() if self._rule.kind == "group" else self._seen.texts()


def _specs(files: ColumnFiles, kind: DataKind) -> tuple[TensorSpec, ...]:
    if kind is DataKind.IMAGES:
        return (TensorSpec(name=IMAGE, dtype=DType.FP32, shape=(-1, *files.columns[IMAGE].shape)),)
    return tuple(
        TensorSpec(name=name, dtype=DType.of(column.dtype), shape=(-1, *column.shape))
        for name, column in files.columns.items()
    )


def _image(files: ColumnFiles) -> ImageInput:
    height, width, channels = files.columns[IMAGE].shape
    return ImageInput(height=height, width=width, channels=channels)


def table_row_blocks(blocks: Iterable[TableRows], reading: Reading) -> Iterator[RowBlock]:
    """Yield a table's rows as inputs and targets.

    The first block says which columns are numbers; a text in one of them later on is a bad row.
    """
    plan: TablePlan | None = None
    truths: frozenset[str] = frozenset()
    for rows in blocks:
        if plan is None:
            plan, truths = _first_plan(rows, reading)
        rows = drop_bad_rows(_lower(rows, truths), plan, reading)
        table, source = rows.table, reading.report.source
        if table.num_rows:
            yield RowBlock(
                inputs={tensor_name(name): _input(source, name, table.column(name), plan) for name in plan.inputs},
                targets=target_values(table.column(plan.target)),
                values=split_values(table, plan.split),
            )


def _first_plan(rows: TableRows, reading: Reading) -> tuple[TablePlan, frozenset[str]]:
    plan, table = plan_table(rows.table.schema, reading), rows.table
    for name in plan.inputs:
        _refuse_dates(reading.report.source, name, table.column(name))
    moments = (plan.split.column,) if plan.split.kind == TIME else ()
    numbers = [name for name in (*plan.inputs, plan.target, *moments) if _holds_numbers(table.column(name))]
    truths = [name for name in (*plan.inputs, plan.target) if _holds_truths(table.column(name))]
    return replace(plan, numbers=tuple(dict.fromkeys((*plan.numbers, *numbers)))), frozenset(truths)


def _refuse_dates(source: str, name: str, column: Any) -> None:
    """Raise InvalidInputError for a text column of dates, as for one whose type is known."""
    if not _is_text(column) or column.null_count == len(column):
        return
    try:
        dates = column.cast(pa.timestamp("s"))
    except pa.ArrowInvalid:
        return
    column_values(source, name, dates)


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _holds_numbers(column: Any) -> bool:
    if not _is_text(column):
        kind = column.type
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
    if column.null_count == len(column):
        return False
    try:
        column.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _holds_truths(column: Any) -> bool:
    """Say whether a CSV's column holds true and false, in any case, as those of a whole file are read too."""
    if not _is_text(column) or column.null_count == len(column):
        return False
    lowered = compute.utf8_lower(column.drop_null())
    return bool(compute.all(compute.is_in(lowered, pa.array(_TRUTH))).as_py())


def _lower(rows: TableRows, names: frozenset[str]) -> TableRows:
    table = rows.table
    for name in names:
        if _is_text(table.column(name)):
            lowered = compute.utf8_lower(table.column(name))
            table = table.set_column(table.column_names.index(name), name, lowered)
    return TableRows(table=table, numbers=rows.numbers)


def _input(source: str, name: str, column: Any, plan: TablePlan) -> Array:
    if pa.types.is_null(column.type) and name in plan.numbers:
        return np.full((len(column), 1), np.nan, dtype=np.float32)
    values = column_values(source, name, column) if not pa.types.is_null(column.type) else texts_of(column)[:, None]
    return values if name in plan.numbers or values.dtype.kind == "O" else texts_of(column)[:, None]
