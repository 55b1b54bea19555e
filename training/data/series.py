"""Time series: windows of the past as inputs, the steps after them as targets, held out by time.

A row of the table is a step. Each column that is looked at is an input of its own, shape (n, window), oldest first;
targets are the next `horizon` values of the target's column, shape (n, horizon). Where the windows of all steps would
take more than the memory for data the columns stay on disk (series_files.py), and the windows are the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.tensors import DType, TensorSpec
from training.data.cache import DataCache
from training.data.columns import ColumnFiles
from training.data.combined import is_combined
from training.data.dataset import Array, DataKind, Dataset, Part, Target
from training.data.fetch import fingerprint_path, local_copy
from training.data.http import CHECKSUM, is_web_address
from training.data.large_sources import PREFIX, find_stream
from training.data.location import parse_location
from training.data.reading import Reading, SourceReport, check_fingerprint
from training.data.series_blocks import AT_ONCE, numbers_of, order_of, write_columns, write_series
from training.data.series_files import WindowFiles, windows_in_memory, windows_on_disk
from training.data.split import TEST, TIME, TRAIN, VALIDATION
from training.data.streaming import BUFFERS
from training.data.table import tensor_name
from training.data.table_files import CSV_SUFFIXES, JSON_SUFFIXES, PARQUET_SUFFIXES, read_table_file

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


@dataclass(frozen=True, kw_only=True)
class SeriesPlaces:
    """Where a series may lie while it is learned from. `memory_bytes` 0: in memory, whatever it takes."""

    scratch: Path
    cache: DataCache | None = None
    memory_bytes: int = 0


def load_series(
    uri: str,
    plan: SeriesPlan,
    *,
    places: SeriesPlaces,
    expected: Mapping[str, str] | None = None,
    reports: list[SourceReport] | None = None,
) -> Dataset:
    """Return the windows of a CSV, Parquet or JSON lines file.

    Validation and test rows forecast steps that come after all that training rows know of. A window whose targets
    are not all there is left out; missing values of the past are NaN. What takes more than the places' memory is left
    on disk below their scratch folder, which the caller removes; of validation and test rows then each k-th is taken,
    as many as there is memory for.
    `expected` are fingerprints by source, of registered data; what was found is added to `reports`.
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
    report = SourceReport(source=location.place, split=f"{TIME}:{plan.time}" if plan.time else "ordered")
    if reports is not None:
        reports.append(report)
    with local_copy(location.place, scratch=places.scratch, cache=places.cache, checksum=checksum) as path:
        report.fingerprint = fingerprint_path(path)
        check_fingerprint(uri, report.fingerprint, (expected or {}).get(uri))
        return _build(path, plan, places, report)


def _build(path: Path, plan: SeriesPlan, places: SeriesPlaces, report: SourceReport) -> Dataset:
    """Return a file's windows, from memory or from disk."""
    most_bytes = places.memory_bytes
    stream = find_stream(path, Reading(seed=0)) if most_bytes else None
    if stream is not None and stream[2] > most_bytes:
        files = write_series(path, plan.columns, plan.time, report, folder=_folder(places))
        return build_streamed_series(files, plan, report, memory_bytes=most_bytes)
    columns = read_columns(path, plan, report)
    windows_bytes = 4 * len(columns[plan.target]) * (plan.window * len(columns) + plan.horizon)
    if most_bytes and windows_bytes > most_bytes:
        files = write_columns(columns, folder=_folder(places))
        return build_streamed_series(files, plan, report, memory_bytes=most_bytes)
    return build_series(columns, plan, report)


def _folder(places: SeriesPlaces) -> Path:
    places.scratch.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=places.scratch))


def read_columns(path: Path, plan: SeriesPlan, report: SourceReport) -> dict[str, Array]:
    """Return the plan's columns in the order of time, shape (steps,), float32 with NaN where values are missing."""
    rows = read_table_file(path, report)
    report.settle(total=rows.table.num_rows + report.bad_count)  # a step that cannot be read would shift all others
    table = rows.table
    for name in (*plan.columns, *([plan.time] if plan.time else [])):
        if name not in table.column_names:
            raise InvalidConfigurationError(
                f"there is no column '{name}'; '{path}' has the columns: {', '.join(table.column_names)}"
            )
    columns = {name: numbers_of(table.column(name), where=f"'{path}': column '{name}'") for name in plan.columns}
    if not plan.time:
        return columns
    order = order_of(table.column(plan.time), where=f"'{path}': column '{plan.time}'")
    return {name: values[order] for name, values in columns.items()}


def build_series(columns: dict[str, Array], plan: SeriesPlan, report: SourceReport) -> Dataset:
    """Return the windows of columns, split by time."""
    names = _input_names(plan, report.source)
    is_known = np.isfinite(columns[plan.target])
    starts = _part_starts(is_known, plan, report)
    parts = {part: _windows(columns, names, plan, found) for part, found in starts.items()}
    return _dataset(parts, names, plan, report)


def build_streamed_series(files: ColumnFiles, plan: SeriesPlan, report: SourceReport, *, memory_bytes: int) -> Dataset:
    """Return the windows of columns on disk, split by time; held-out rows take at most three eighths of the memory."""
    names = _input_names(plan, report.source)
    cut = WindowFiles(columns=files, names=_columns_of(names), target=plan.target, window=plan.window,
                      horizon=plan.horizon)  # fmt: skip
    buffer_bytes = memory_bytes // BUFFERS
    starts = _part_starts(_known_steps(files, plan.target), plan, report)
    validation, each_validation = windows_in_memory(cut, starts[VALIDATION], most_bytes=buffer_bytes)
    test, each_test = windows_in_memory(cut, starts[TEST], most_bytes=2 * buffer_bytes)
    train = windows_on_disk(cut, starts[TRAIN], buffer_bytes=buffer_bytes)
    report.is_streamed = True
    if max(each_validation, each_test) > 1:
        report.note = (
            f"of the windows held out, one in {each_validation} is used for validation and one in {each_test} for "
            "testing: as many as three eighths of DATA_MEMORY_BYTES hold"
        )
    return _dataset({TRAIN: train, VALIDATION: validation, TEST: test}, names, plan, report)


def _dataset(parts: Mapping[str, Part], names: Mapping[str, str], plan: SeriesPlan, report: SourceReport) -> Dataset:
    report.rows = {part: len(rows) for part, rows in parts.items()}
    return Dataset(
        kind=DataKind.SERIES,
        inputs=tuple(TensorSpec(name=n, dtype=DType.FP32, shape=(-1, plan.window)) for n in names.values()),
        labels=(),
        image=None,
        train=parts[TRAIN],
        validation=parts[VALIDATION],
        test=parts[TEST],
        fingerprint=report.fingerprint,
        target=Target.NUMBER,
    )


def _input_names(plan: SeriesPlan, where: str) -> dict[str, str]:
    """Return the inputs' names by their columns."""
    names = {column: tensor_name(column) for column in plan.columns}
    if len(set(names.values())) != len(names):
        raise InvalidInputError(f"'{where}': two columns have the same name once it is made of letters, digits and _")
    return names


def _columns_of(names: Mapping[str, str]) -> dict[str, str]:
    return {name: column for column, name in names.items()}


def _known_steps(files: ColumnFiles, target: str) -> Array:
    """Return at which steps the target is known, shape (steps,), read a piece at a time."""
    pieces = [
        np.isfinite(files.read_range(target, start, min(start + AT_ONCE, files.rows)))
        for start in range(0, files.rows, AT_ONCE)
    ]
    return np.concatenate(pieces)


def _part_starts(is_known: Array, plan: SeriesPlan, report: SourceReport) -> dict[str, Array]:
    """Return for each part the steps at which a forecast begins; is_known has the shape (steps,).

    Raises: InvalidInputError if a part has none.
    """
    steps = len(is_known)
    test_from = steps - round(steps * TEST_SHARE)
    validation_from = test_from - round(steps * VALIDATION_SHARE)
    bounds = {
        TRAIN: (plan.window, validation_from),
        VALIDATION: (max(plan.window, validation_from), test_from),
        TEST: (max(plan.window, test_from), steps),
    }
    found = {part: _starts(is_known, first, end, plan.horizon) for part, (first, end) in bounds.items()}
    for part, starts in found.items():
        if not len(starts):
            raise InvalidInputError(
                f"'{report.source}': {steps} steps are too few: no {part} row has {plan.window} steps before it "
                f"and {plan.horizon} known values of '{plan.target}' after it"
            )
    return found


def _starts(is_known: Array, first: int, end: int, horizon: int) -> Array:
    """Return each step from `first` whose forecast ends before `end`, and is known."""
    if end - horizon + 1 <= first:
        return np.zeros(0, dtype=np.int64)
    unknown = np.concatenate([[0], np.cumsum(~is_known[first:end], dtype=np.int64)])  # before each step
    starts: Array = np.flatnonzero(unknown[horizon:] == unknown[:-horizon]) + first
    return starts


def _windows(columns: Mapping[str, Array], names: Mapping[str, str], plan: SeriesPlan, starts: Array) -> Part:
    """Return a row for each start; its window ends right before it."""
    view = np.lib.stride_tricks.sliding_window_view
    past = {names[column]: view(values, plan.window)[starts - plan.window] for column, values in columns.items()}
    return Part(inputs=past, labels=view(columns[plan.target], plan.horizon)[starts])
