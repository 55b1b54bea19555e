"""CSV, Parquet and JSON lines as Arrow tables; rows that cannot be read are noted, not lost without a word."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from training.data.dataset import Array
from training.data.reading import SourceReport

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv, parquet
    from pyarrow import json as arrow_json
else:
    pa = late_module("pyarrow")
    csv, parquet = late_module("pyarrow.csv"), late_module("pyarrow.parquet")
    arrow_json = late_module("pyarrow.json")

CSV_SUFFIXES, PARQUET_SUFFIXES = (".csv", ".csv.gz"), (".parquet", ".pq")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
TABLE_SUFFIXES = CSV_SUFFIXES + PARQUET_SUFFIXES + JSON_SUFFIXES
MISSING = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "#N/A"]
_MAX_BLOCK = 2**31 - 1
_SHOWN = 60  # characters of a line that cannot be read


@dataclass(frozen=True, kw_only=True)
class TableRows:
    """Rows as the source has them. Shape of numbers: (n,), each row's place in the source, from 1."""

    table: Any  # pyarrow.Table
    numbers: Array


def read_table_file(path: Path, report: SourceReport) -> TableRows:
    """Return the rows of a table file; those that cannot be read are noted in the report.

    Raises: InvalidInputError if the file as a whole is no such table.
    """
    name = path.name.lower()
    try:
        if name.endswith(PARQUET_SUFFIXES):
            return number_rows(parquet.read_table(path))
        if name.endswith(JSON_SUFFIXES):
            return _read_json_lines(path, report)
        return _read_csv(path, report)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise InvalidInputError(f"'{path}' cannot be read as a table: {error}") from error


def number_rows(table: Any) -> TableRows:
    """Return a table's rows under the numbers from 1."""
    return TableRows(table=table, numbers=np.arange(1, table.num_rows + 1))


def join_rows(blocks: Iterable[TableRows], source: str) -> TableRows:
    """Return blocks of rows as one.

    Raises: InvalidInputError if there is none, or their columns hold different kinds.
    """
    found = list(blocks)
    if not found:
        return TableRows(table=pa.table({}), numbers=np.zeros(0, dtype=np.int64))
    try:
        table = pa.concat_tables([block.table for block in found], promote_options="permissive")
    except pa.ArrowException as error:
        raise InvalidInputError(f"'{source}' holds different kinds of values in one column: {error}") from error
    return TableRows(table=table, numbers=np.concatenate([block.numbers for block in found]))


def _read_csv(path: Path, report: SourceReport) -> TableRows:
    bad: list[int] = []

    def note(row: Any) -> str:
        bad.append(row.number - 1)  # the header is row 1 there
        reason = f"{row.actual_columns} values, not {row.expected_columns}: {row.text[:_SHOWN]}"
        report.add_bad(f"row {row.number - 1}", reason)
        return "skip"

    table = csv.read_csv(
        path,
        # types are guessed from the first block; only a single thread knows the numbers of rows
        read_options=csv.ReadOptions(block_size=_MAX_BLOCK, use_threads=False),
        parse_options=csv.ParseOptions(invalid_row_handler=note),
        convert_options=csv.ConvertOptions(null_values=MISSING, strings_can_be_null=True),
    )
    numbers = np.arange(1, table.num_rows + len(bad) + 1)
    return TableRows(table=table, numbers=numbers[~np.isin(numbers, bad)])


def _read_json_lines(path: Path, report: SourceReport) -> TableRows:
    """Return one row a line; a key that a line lacks is missing there. Values are numbers, texts, booleans, null."""
    try:
        with pa.input_stream(path, compression="detect") as file:
            rows = number_rows(parse_json(file))
    except pa.ArrowInvalid:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = read_good_lines(raw.splitlines(), 1, report)
    for field in rows.table.schema:
        if pa.types.is_nested(field.type):
            raise InvalidInputError(f"'{path}': '{field.name}' holds lists or objects; a column holds one value a row")
    return rows


def read_good_lines(lines: list[bytes], first: int, report: SourceReport) -> TableRows:
    """Return the lines that are objects, looking at each by itself; note the others. They count from `first`."""
    good, numbers = [], []
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        reason = _reason_against(line)
        if reason:
            report.add_bad(f"line {number}", reason)
            continue
        good.append(line)
        numbers.append(number)
    table = parse_json(io.BytesIO(b"\n".join(line.rstrip(b"\r\n") for line in good) + b"\n")) if good else pa.table({})
    return TableRows(table=table, numbers=np.array(numbers, dtype=np.int64))


def _reason_against(line: bytes) -> str:
    try:
        found = json.loads(line)
    except ValueError as error:
        return f"no JSON ({error}): {line[:_SHOWN].decode('utf-8', 'replace')}"
    return "" if isinstance(found, dict) else f"no object: {line[:_SHOWN].decode('utf-8', 'replace')}"


def parse_json(file: Any) -> Any:
    """Return an Arrow table of JSON lines; pyarrow.ArrowInvalid if one of them is no object."""
    return arrow_json.read_json(file, read_options=arrow_json.ReadOptions(block_size=_MAX_BLOCK))
