"""CSV, JSON lines and Parquet in blocks of rows, for tables that are larger than memory."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from training.data.reading import SourceReport
from training.data.table_files import (
    JSON_SUFFIXES,
    MISSING,
    PARQUET_SUFFIXES,
    TableRows,
    parse_json,
    read_good_lines,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv, parquet
else:
    pa = late_module("pyarrow")
    csv, parquet = late_module("pyarrow.csv"), late_module("pyarrow.parquet")

BLOCK_BYTES = 16 * 1024 * 1024
PARQUET_ROWS = 32_768
SHOWN = 60  # characters of a line that cannot be read


def table_blocks(path: Path, report: SourceReport) -> Iterator[TableRows]:
    """Yield a table file's rows in blocks; CSV's columns are all texts. Rows that cannot be read are noted.

    Raises: InvalidInputError if the file as a whole is no such table.
    """
    name = path.name.lower()
    read = _parquet if name.endswith(PARQUET_SUFFIXES) else _json_lines if name.endswith(JSON_SUFFIXES) else _csv
    try:
        yield from read(path, report)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise InvalidInputError(f"'{path}' cannot be read as a table: {error}") from error


def _csv(path: Path, report: SourceReport) -> Iterator[TableRows]:
    bad: list[int] = []

    def note(row: Any) -> str:
        bad.append(row.number - 1)
        reason = f"{row.actual_columns} values, not {row.expected_columns}: {row.text[:SHOWN]}"
        report.add_bad(f"row {row.number - 1}", reason)
        return "skip"

    options = csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)
    parse = csv.ParseOptions(invalid_row_handler=note)
    skip = csv.ParseOptions(invalid_row_handler=lambda _: "skip")
    with csv.open_csv(path, read_options=options, parse_options=skip) as head:
        types = dict.fromkeys(head.schema.names, pa.string())
    convert = csv.ConvertOptions(column_types=types, null_values=MISSING, strings_can_be_null=True)
    first = 1
    with csv.open_csv(path, read_options=options, parse_options=parse, convert_options=convert) as reader:
        for batch in reader:
            count = batch.num_rows
            numbers = np.arange(first, first + count + len(bad))
            numbers = numbers[~np.isin(numbers, bad)][:count]
            if count:
                first = int(numbers[-1]) + 1
                bad[:] = [number for number in bad if number >= first]
                yield TableRows(table=pa.Table.from_batches([batch]), numbers=numbers)


def _json_lines(path: Path, report: SourceReport) -> Iterator[TableRows]:
    number, lines, size = 1, [], 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            lines.append(line)
            size += len(line)
            if size >= BLOCK_BYTES:
                yield _parse_lines(lines, number, report)
                number, lines, size = number + len(lines), [], 0
    if lines:
        yield _parse_lines(lines, number, report)


def _parse_lines(lines: list[bytes], first: int, report: SourceReport) -> TableRows:
    try:
        table = parse_json(io.BytesIO(b"".join(lines)))
    except pa.ArrowInvalid:
        return read_good_lines(lines, first, report)
    filled = [number for number, line in enumerate(lines, start=first) if line.strip()]
    return TableRows(table=table, numbers=np.array(filled, dtype=np.int64))


def _parquet(path: Path, report: SourceReport) -> Iterator[TableRows]:
    first = 1
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=PARQUET_ROWS):
            numbers = np.arange(first, first + batch.num_rows)
            first += batch.num_rows
            yield TableRows(table=pa.Table.from_batches([batch]), numbers=numbers)
