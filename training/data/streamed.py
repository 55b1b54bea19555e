"""Rows that stay on disk: the same interface as rows in memory, in a buffer's worth of memory.

An epoch's order: the rows are cut into shards of neighbours, the shards shuffled by seed and epoch, so many of them
read as the buffer holds, and their rows shuffled together. While one buffer is learned from the next is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from aiplatform.artifacts import Arrays
from training.data.columns import ColumnFiles
from training.data.dataset import Array, Part, as_on_the_wire

SHARDS_IN_BUFFER = 64
SAMPLE_ROWS = 50_000


class RowFiles(Protocol):
    """Rows on disk, as a streamed part reads them."""

    @property
    def row_bytes(self) -> int:
        """Return what a row takes in memory."""

    def read(self, rows: Array) -> Arrays:
        """Return the rows of the given indices, shape (n,), in their order."""

    def select(self, names: Sequence[str]) -> RowFiles:
        """Return some of the columns."""


class HeldBatch:
    """The rows of the batch that was yielded last, so that asking for them does not read the disk again."""

    def __init__(self) -> None:
        self._indices: Array | None = None
        self._inputs: Arrays = {}

    def hold(self, indices: Array, inputs: Arrays) -> Array:
        """Keep rows, and return their indices."""
        self._indices, self._inputs = indices, inputs
        return indices

    def forget(self) -> None:
        """Let the rows go."""
        self._indices, self._inputs = None, {}

    def find(self, indices: Array) -> Arrays | None:
        """Return the rows of these indices, or None if one of them is not held."""
        if self._indices is None:
            return None
        if indices is self._indices:
            return dict(self._inputs)
        by_size = np.argsort(self._indices)
        places = np.searchsorted(self._indices, indices, sorter=by_size)
        chosen = by_size[np.minimum(places, len(by_size) - 1)]
        if not np.array_equal(self._indices[chosen], indices):
            return None
        return {name: array[chosen] for name, array in self._inputs.items()}


@dataclass(frozen=True, kw_only=True)
class StreamedPart(Part):
    """Rows on disk. `labels` are of all rows; `inputs` only of a sample, `sample_rows`, for means and vocabularies.

    Shapes: labels (n,); places (n,), the sorted rows of `files` that belong to this part; sample_rows (k,), places in
    this part. `buffer_bytes` is what one buffer of an epoch may take; two are held at a time.
    """

    files: RowFiles
    places: Array
    sample_rows: Array
    buffer_bytes: int
    batch: HeldBatch = field(default_factory=HeldBatch, repr=False, compare=False)

    def rows(self, indices: Array | slice) -> tuple[Arrays, Array]:
        """Return inputs (as on the wire) and labels of the chosen rows: from the buffer, else from the disk."""
        held = None if isinstance(indices, slice) else self.batch.find(indices)
        found = self.files.read(self.places[indices]) if held is None else held
        return as_on_the_wire(found), self.labels[indices]

    def order(self, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Array]:
        """Yield the indices of one batch after the other; `rows` has those of the last one from the buffer."""
        left: tuple[Array, Arrays] | None = None
        for indices, inputs in self._buffers(seed, epoch, start * batch_size):
            if left is not None and len(left[0]):
                indices = np.concatenate([left[0], indices])
                inputs = {name: np.concatenate([left[1][name], inputs[name]]) for name in inputs}
            whole = len(indices) - len(indices) % batch_size
            for first in range(0, whole, batch_size):
                piece = slice(first, first + batch_size)
                yield self.batch.hold(indices[piece], {name: array[piece] for name, array in inputs.items()})
            left = indices[whole:].copy(), {name: array[whole:].copy() for name, array in inputs.items()}
            self.batch.forget()
            del indices, inputs
        if left is not None and len(left[0]):
            yield self.batch.hold(*left)
        self.batch.forget()

    def batches(self, batch_size: int) -> Iterator[tuple[Arrays, Array]]:
        """Yield all rows in order, `batch_size` at a time."""
        at_once = max(1, self._shard_rows() // batch_size) * batch_size
        for start in range(0, len(self), at_once):
            inputs, labels = self.rows(slice(start, start + at_once))
            for first in range(0, len(labels), batch_size):
                piece = slice(first, first + batch_size)
                yield {name: array[piece] for name, array in inputs.items()}, labels[piece]

    def select(self, names: Sequence[str]) -> StreamedPart:
        """Return the same rows with some of the inputs only; the others are not read any more."""
        inputs = {name: self.inputs[name] for name in names}
        return replace(self, inputs=inputs, files=self.files.select(names), batch=HeldBatch())

    def sample(self) -> Part:
        """Return the sample as rows of their own."""
        return Part(inputs=self.inputs, labels=self.labels[self.sample_rows])

    def _shard_rows(self) -> int:
        return max(1, self.buffer_bytes // SHARDS_IN_BUFFER // self.files.row_bytes)

    def _plan(self, seed: int, epoch: int) -> Iterator[Array]:
        """Yield the shuffled places of one buffer after the other; each shapes (rows of the buffer,)."""
        random = np.random.default_rng([seed, epoch])
        size = self._shard_rows()
        shards = random.permutation(-(-len(self) // size))
        for first in range(0, len(shards), SHARDS_IN_BUFFER):
            chosen = shards[first : first + SHARDS_IN_BUFFER].tolist()
            rows = np.concatenate([np.arange(s * size, min((s + 1) * size, len(self))) for s in chosen])
            yield random.permutation(rows)

    def _buffers(self, seed: int, epoch: int, skipped: int) -> Iterator[tuple[Array, Arrays]]:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="data") as reader:
            waiting: Future[tuple[Array, Arrays]] | None = None
            for rows in self._plan(seed, epoch):
                if skipped >= len(rows):
                    skipped -= len(rows)
                    continue
                coming = reader.submit(self._read, rows[skipped:])
                skipped = 0
                if waiting is not None:
                    yield waiting.result()
                waiting = coming
            if waiting is not None:
                yield waiting.result()

    def _read(self, rows: Array) -> tuple[Array, Arrays]:
        return rows, self.files.read(self.places[rows])


def make_part(files: ColumnFiles, places: Array, labels: Array, *, buffer_bytes: int, seed: int) -> StreamedPart:
    """Return the rows of `files` at sorted places, with their labels, shapes (n,); the sample follows from the seed."""
    count = min(len(places), SAMPLE_ROWS, max(1, buffer_bytes // files.row_bytes))
    chosen = np.sort(np.random.default_rng([seed, len(places)]).choice(len(places), count, replace=False))
    return StreamedPart(
        inputs=files.read(places[chosen]),
        labels=labels,
        files=files,
        places=places,
        sample_rows=chosen,
        buffer_bytes=buffer_bytes,
    )
