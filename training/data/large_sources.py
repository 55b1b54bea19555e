"""The sources that may be larger than memory: which they are, how large, and how they go to column files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from aiplatform.errors import InvalidInputError
from training.data import npy, tfrecord, tfrecord_images
from training.data.dataset import DataKind, Dataset
from training.data.idx import find_idx_files
from training.data.image_folder import find_parts, folder_images
from training.data.image_stream import image_row_blocks, npy_row_blocks
from training.data.reading import Reading
from training.data.split import COLUMN, SplitRule
from training.data.streaming import RowBlock, build_streamed_dataset, table_row_blocks
from training.data.table_blocks import table_blocks
from training.data.table_files import PARQUET_SUFFIXES, TABLE_SUFFIXES, TableRows

PREFIX = "columns-"
PART = "part"
# What a byte on disk becomes in memory, about
_COMPRESSED, _PARQUET, _TEXT, _ENCODED = 8, 4, 2, 10

RowBlocks = Callable[[Path, Reading], Iterable[RowBlock]]
Stream = tuple[RowBlocks, DataKind, int]


def find_stream(path: Path, reading: Reading) -> Stream | None:
    """Return how a path's rows come in blocks, their kind, and about how many bytes they take in memory.

    None for the formats that are always read whole: .npz, IDX, one .npy file, a folder of vectors.
    """
    name, size = path.name.lower(), size_on_disk(path)
    if tfrecord.is_tfrecord(path):
        images = tfrecord_images.find_images(path, reading)
        if images is None:
            return _record_rows, DataKind.TABLE, size * (_COMPRESSED if name.endswith(".gz") else 1)
        return _record_images, DataKind.IMAGES, size * (1 if images.form is None else _ENCODED)
    if path.is_dir():
        return _find_folder_stream(path, size)
    if name.endswith(TABLE_SUFFIXES):
        factor = _COMPRESSED if name.endswith(".gz") else _PARQUET if name.endswith(PARQUET_SUFFIXES) else _TEXT
        return _table_rows, DataKind.TABLE, size * factor
    return None


def _find_folder_stream(path: Path, size: int) -> Stream | None:
    if find_idx_files(path):
        return None
    files = npy.find_npy_files(path)
    if not files:
        return _folder_images, DataKind.IMAGES, size * _ENCODED
    is_images = all(npy.open_array(inputs).ndim > 2 for inputs, _ in files.values())
    return (_npy_images, DataKind.IMAGES, size) if is_images else None


def size_on_disk(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def stream_path(path: Path, reading: Reading, stream: Stream, *, scratch: Path, memory_bytes: int) -> Dataset:
    """Return a path's rows as a data set on disk, below `scratch`."""
    blocks, kind, _ = stream
    if _has_parts(path):
        if reading.split.column:
            raise InvalidInputError(f"'{reading.report.source}' has parts of its own; split={reading.split} cannot be")
        reading = replace(reading, split=SplitRule(kind=COLUMN, column=PART))
    return _build(blocks(path, reading), reading, kind=kind, scratch=scratch, memory_bytes=memory_bytes)


def stream_rows(rows: Iterator[TableRows], reading: Reading, *, scratch: Path, memory_bytes: int) -> Dataset:
    """Return a table's blocks of rows as a data set on disk, below `scratch`."""
    blocks = table_row_blocks(rows, reading)
    return _build(blocks, reading, kind=DataKind.TABLE, scratch=scratch, memory_bytes=memory_bytes)


def _build(
    blocks: Iterable[RowBlock], reading: Reading, *, kind: DataKind, scratch: Path, memory_bytes: int
) -> Dataset:
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=scratch))
    return build_streamed_dataset(blocks, reading, kind=kind, folder=folder, memory_bytes=memory_bytes)


def _has_parts(path: Path) -> bool:
    if not path.is_dir() or tfrecord.is_tfrecord(path):
        return False
    return len(npy.find_npy_files(path) or find_parts(path)) > 1


def _table_rows(path: Path, reading: Reading) -> Iterator[RowBlock]:
    return table_row_blocks(table_blocks(path, reading.report), reading)


def _record_rows(path: Path, reading: Reading) -> Iterator[RowBlock]:
    return table_row_blocks(tfrecord.record_rows(path, reading), reading)


def _record_images(path: Path, reading: Reading) -> Iterator[RowBlock]:
    found = tfrecord_images.find_images(path, reading)
    rows = tfrecord_images.image_rows(path, found, reading) if found else iter(())
    return image_row_blocks((pixels, label, "") for pixels, label in rows)


def _npy_images(path: Path, reading: Reading) -> Iterator[RowBlock]:
    return npy_row_blocks(npy.find_npy_files(path))


def _folder_images(path: Path, reading: Reading) -> Iterator[RowBlock]:
    return image_row_blocks(folder_images(path, reading))
