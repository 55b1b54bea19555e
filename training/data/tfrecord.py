"""TFRecord files of tf.train.Example, gzipped or not, one or a folder of them; TensorFlow is not needed.

Format: length (uint64), its checksum, the record, its checksum; little-endian, checksums are CRC-32C, masked.
Source: tensorflow.org/tutorials/load_data/tfrecord. What the features are is taken from the first record.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from training.data.dataset import Array
from training.data.reading import Reading, SourceReport
from training.data.table_files import TableRows

if TYPE_CHECKING:
    import google_crc32c
    import pyarrow as pa
    from google.protobuf import message
else:
    google_crc32c = late_module("google_crc32c")
    message = late_module("google.protobuf.message")
    pa = late_module("pyarrow")

SUFFIXES = (".tfrecord", ".tfrecords", ".tfrec", ".tfrecord.gz", ".tfrecords.gz", ".tfrec.gz")
BLOCK_RECORDS = 4096
_MASK = 0xA282EAD8
_LARGEST_RECORD = 2**30

Record = Mapping[str, list[Any]]


@dataclass(frozen=True, kw_only=True)
class NumberedRecord:
    """A record's features by name, and where it stands ('file.tfrecord, record 3')."""

    where: str
    features: Record


def is_tfrecord(path: Path) -> bool:
    """Say whether a path is a TFRecord file, or a folder that holds some."""
    return bool(_list_files(path))


def read_records(path: Path, report: SourceReport) -> Iterator[NumberedRecord]:
    """Yield the records of a file, or of all files of a folder by name; broken ones are noted in the report.

    Raises: InvalidInputError if a file is cut, or no such file: what follows cannot be found then.
    """
    for file in _list_files(path):
        for number, raw in enumerate(_read_file(file), start=1):
            where = f"{file.name}, record {number}"
            features = _parse(raw)
            if features is None:
                report.add_bad(where, "its checksum is wrong, or it is no tf.train.Example")
            else:
                yield NumberedRecord(where=where, features=features)


def _list_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.is_file() and _is_record_name(p.name))
    return [path] if _is_record_name(path.name) else []


def _is_record_name(name: str) -> bool:
    """Say so of 'a.tfrecord' and of TensorFlow Datasets' 'a.tfrecord-00000-of-00005'."""
    return name.lower().partition("-0")[0].endswith(SUFFIXES) and not name.startswith(".")


def _read_file(path: Path) -> Iterator[bytes | None]:
    """Yield each record's bytes, None for one whose checksum is wrong."""
    try:
        with _open(path) as file:
            while header := file.read(12):
                length, checksum = struct.unpack("<QI", header)
                if _masked(header[:8]) != checksum or length > _LARGEST_RECORD:
                    raise InvalidInputError(f"'{path}' is no TFRecord file, or altered: a length has a wrong checksum")
                body = file.read(length + 4)
                if len(body) != length + 4:
                    raise InvalidInputError(f"'{path}' is cut: its last record is not whole")
                raw = body[:length]
                yield raw if _masked(raw) == struct.unpack("<I", body[length:])[0] else None
    except (OSError, EOFError, struct.error) as error:
        raise InvalidInputError(f"'{path}' cannot be read: {error}") from error


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def _masked(data: bytes) -> int:
    checksum = int(google_crc32c.value(data))
    return (((checksum >> 15) | (checksum << 17)) + _MASK) & 0xFFFFFFFF


def _parse(raw: bytes | None) -> Record | None:
    from training.data.protos.example_pb2 import Example

    if raw is None:
        return None
    try:
        example = Example.FromString(raw)
    except message.DecodeError:
        return None
    features = example.features.feature
    return {name: _values(features[name]) for name in sorted(features)}


def _values(feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def record_rows(path: Path, reading: Reading) -> Iterator[TableRows]:
    """Yield blocks of rows of single values: a list of k numbers becomes the columns name_0 to name_{k-1}.

    A record that has a feature of another kind or length than the first is bad; one that lacks it has it missing.
    """
    columns: dict[str, tuple[type, int]] = {}
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, record in enumerate(read_records(path, reading.report), start=1):
        columns = columns or _columns_of(record)
        try:
            rows.append(_row(record.features, columns))
        except ValueError as error:
            reading.report.add_bad(record.where, str(error))
            continue
        numbers.append(number)
        if len(rows) == BLOCK_RECORDS:
            yield _block(rows, numbers, columns)
            rows, numbers = [], []
    if rows:
        yield _block(rows, numbers, columns)


def _columns_of(record: NumberedRecord) -> dict[str, tuple[type, int]]:
    return {name: (type(values[0]), len(values)) for name, values in record.features.items() if values}


def _row(features: Record, columns: Mapping[str, tuple[type, int]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, (kind, length) in columns.items():
        values = features.get(name) or [None] * length
        if len(values) != length or not all(value is None or isinstance(value, kind) for value in values):
            raise ValueError(f"feature '{name}' is not {length} of {kind.__name__}, as in the first record")
        for place, value in enumerate(values):
            row[name if length == 1 else f"{name}_{place}"] = _plain(name, value)
    return row


def _plain(name: str, value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"feature '{name}' is no text in UTF-8") from None


def _block(rows: list[dict[str, Any]], numbers: list[int], columns: Mapping[str, tuple[type, int]]) -> TableRows:
    fields = []
    for name, (kind, length) in columns.items():
        names = [name] if length == 1 else [f"{name}_{place}" for place in range(length)]
        fields += [pa.field(one, _arrow_type(kind)) for one in names]
    table = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    return TableRows(table=table, numbers=np.array(numbers, dtype=np.int64))


def first_record(path: Path) -> NumberedRecord:
    """Return the first record that can be read.

    Raises: InvalidInputError if there is none.
    """
    found = next(read_records(path, SourceReport(source=path.name)), None)
    if found is None:
        raise InvalidInputError(f"'{path}' holds no record that can be read")
    return found


def as_file(value: bytes) -> BinaryIO:
    """Return bytes as an open file."""
    return io.BytesIO(value)


def as_array(values: list[Any], shape: tuple[int, ...]) -> Array:
    """Return a feature's raw bytes or numbers as pixels of a shape.

    Raises: ValueError if it has not so many.
    """
    if values and isinstance(values[0], bytes):
        return np.frombuffer(values[0], dtype=np.uint8).reshape(shape)
    return np.array(values).reshape(shape)


def _arrow_type(kind: type) -> pa.DataType:
    return {int: pa.int64(), float: pa.float32(), bytes: pa.string()}[kind]
