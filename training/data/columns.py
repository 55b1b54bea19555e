"""Columns of rows on disk, for sets that are larger than memory: written once in order, read by ranges of rows.

    <folder>/<column>.bin       rows of a fixed size, one after the other
    <folder>/<column>.txt       texts in UTF-8, one after the other, with
    <folder>/<column>.end       where each of them ends (int64)

Nothing is mapped into memory: what is read is counted against the reader, and goes when the reader lets it go.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from aiplatform.artifacts import Arrays
from training.data.dataset import Array

LARGEST_GAP_BYTES = 64 * 1024  # between two wanted rows, that are read rather than skipped
LARGEST_GAP_TEXTS = 16  # rows of texts, of which each has its own size
_END = np.dtype("<i8")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its file's stem, and the dtype and shape of one row; text has the dtype object."""

    name: str
    stem: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def is_text(self) -> bool:
        """Say whether rows are texts."""
        return self.dtype.kind == "O"

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one row; of text its pointer's."""
        return int(self.dtype.itemsize * np.prod(self.shape, dtype=np.int64))


class ColumnWriter:
    """Appends blocks of rows; the first block says what the columns are. To be used in a `with` block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = ExitStack()
        self._columns: dict[str, Column] = {}
        self._open: dict[str, BinaryIO] = {}
        self._text_ends: dict[str, int] = {}
        self.rows = 0
        self.size_bytes = 0

    def __enter__(self) -> ColumnWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, block: Arrays) -> None:
        """Append rows. Shapes: every array (n, ...), alike in all blocks but for n.

        Raises: ValueError if a column is of another dtype or shape than in the first block.
        """
        if not self._columns:
            self._start(block)
        for name, column in self._columns.items():
            array = np.asarray(block[name])
            if array.dtype != column.dtype or array.shape[1:] != column.shape:
                raise ValueError(
                    f"'{name}' is {array.dtype} of shape {array.shape[1:]}, in the first rows it was {column.dtype} of "
                    f"shape {column.shape}"
                )
            self.size_bytes += self._add_texts(column, array) if column.is_text else self._add_fixed(column, array)
        self.rows += len(next(iter(block.values())))

    def finish(self) -> ColumnFiles:
        """Return the columns, ready to be read."""
        self._files.close()
        return ColumnFiles(folder=self._folder, columns=dict(self._columns), rows=self.rows, size_bytes=self.size_bytes)

    def _start(self, block: Arrays) -> None:
        for number, (name, array) in enumerate(block.items()):
            stem = f"{number:04d}"
            self._columns[name] = Column(name=name, stem=stem, dtype=array.dtype, shape=array.shape[1:])
            for suffix in ("txt", "end") if array.dtype.kind == "O" else ("bin",):
                path = self._folder / f"{stem}.{suffix}"
                self._open[path.name] = self._files.enter_context(path.open("wb"))

    def _add_fixed(self, column: Column, array: Array) -> int:
        return self._open[f"{column.stem}.bin"].write(np.ascontiguousarray(array).tobytes())

    def _add_texts(self, column: Column, array: Array) -> int:
        texts = [str(text).encode() for text in array.ravel().tolist()]
        ends = self._text_ends.get(column.stem, 0) + np.cumsum([len(text) for text in texts], dtype=_END)
        self._text_ends[column.stem] = int(ends[-1]) if len(ends) else self._text_ends.get(column.stem, 0)
        self._open[f"{column.stem}.end"].write(ends.tobytes())
        return self._open[f"{column.stem}.txt"].write(b"".join(texts))


@dataclass(frozen=True, kw_only=True)
class ColumnFiles:
    """Columns on disk. `size_bytes` is that of their rows."""

    folder: Path
    columns: Mapping[str, Column]
    rows: int
    size_bytes: int

    @property
    def row_bytes(self) -> int:
        """Return the mean size of a row."""
        return max(1, self.size_bytes // max(1, self.rows))

    def select(self, names: Sequence[str]) -> ColumnFiles:
        """Return some of the columns."""
        return replace(self, columns={name: self.columns[name] for name in names})

    def read(self, rows: Array) -> Arrays:
        """Return the rows of the given indices, shape (n,), in their order."""
        wanted, back = np.unique(rows, return_inverse=True)
        if not len(wanted):
            return {name: self._empty(column) for name, column in self.columns.items()}
        is_ordered = len(wanted) == len(rows) and bool((np.diff(rows) > 0).all())
        found = {name: self._read_rows(column, wanted) for name, column in self.columns.items()}
        return found if is_ordered else {name: array[back] for name, array in found.items()}

    def read_range(self, name: str, start: int, stop: int) -> Array:
        """Return a column's rows from `start` until before `stop`; it is not of texts."""
        column = self.columns[name]
        with (self.folder / f"{column.stem}.bin").open("rb", buffering=0) as file:
            return self._read_block(column, file, start, stop)

    def _read_rows(self, column: Column, wanted: Array) -> Array:
        """Return rows by their ascending indices, in as many reads as their gaps are worth skipping."""
        gap = LARGEST_GAP_TEXTS if column.is_text else LARGEST_GAP_BYTES // max(1, column.row_bytes)
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > gap + 1) + 1)
        read = self._read_texts if column.is_text else self._read_fixed
        suffix = "txt" if column.is_text else "bin"
        with (self.folder / f"{column.stem}.{suffix}").open("rb", buffering=0) as file:
            pieces = [read(column, file, int(run[0]), int(run[-1]) + 1, run) for run in runs]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _read_fixed(self, column: Column, file: BinaryIO, start: int, stop: int, run: Array) -> Array:
        block = self._read_block(column, file, start, stop)
        return block if len(run) == stop - start else block[run - start]

    def _read_block(self, column: Column, file: BinaryIO, start: int, stop: int) -> Array:
        size = column.row_bytes
        block: Array = np.empty((stop - start, *column.shape), dtype=column.dtype)
        target, done = block.data.cast("B"), 0
        while done < len(target):  # one read gives 2 GiB at most
            read = os.preadv(file.fileno(), [target[done:]], start * size + done)
            if not read:
                raise OSError(f"'{column.name}' is cut: {file.name}")
            done += read
        return block

    def _read_texts(self, column: Column, file: BinaryIO, start: int, stop: int, run: Array) -> Array:
        with (self.folder / f"{column.stem}.end").open("rb") as ends_file:
            first = max(0, start - 1)
            ends = np.frombuffer(os.pread(ends_file.fileno(), (stop - first) * 8, first * 8), dtype=_END)
        bounds = ends if start else np.concatenate([[0], ends])
        raw = os.pread(file.fileno(), int(bounds[-1] - bounds[0]), int(bounds[0]))
        places = (bounds - bounds[0]).tolist()
        texts = np.empty((len(run), *column.shape), dtype=object)
        texts.reshape(-1)[:] = [raw[places[row] : places[row + 1]].decode() for row in (run - start).tolist()]
        return texts

    @staticmethod
    def _empty(column: Column) -> Array:
        return np.zeros((0, *column.shape), dtype=column.dtype)
