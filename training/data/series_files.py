"""A series that stays on disk: its columns lie there once, and windows are cut out of them when they are asked for.

In memory a window of 48 steps and a forecast of 12 take sixty times what a step takes on disk; so a series of some
hundred megabytes may be larger than memory. What is kept in memory is where each window ends, eight bytes a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aiplatform.artifacts import Arrays
from training.data.columns import ColumnFiles
from training.data.dataset import Array, Part
from training.data.streamed import SAMPLE_ROWS, StreamedPart

AHEAD = "\0ahead"  # among what is read: the steps that follow a window; no input is called so
_STEP = np.dtype(np.float32).itemsize


@dataclass(frozen=True, kw_only=True)
class WindowFiles:
    """Columns of one number a step, float32, and how windows are cut out of them. `names`: columns by input."""

    columns: ColumnFiles
    names: Mapping[str, str]
    target: str
    window: int
    horizon: int

    @property
    def row_bytes(self) -> int:
        """Return what a row takes in memory: a window of each input, and the steps ahead."""
        return _STEP * (self.window * len(self.names) + self.horizon)

    def select(self, names: Sequence[str]) -> WindowFiles:
        """Return some of the inputs."""
        return replace(self, names={name: self.names[name] for name in names})

    def read(self, rows: Array) -> Arrays:
        """Return the windows that end before the given steps, and under `AHEAD` what follows, in their order.

        Shapes: rows (n,), each the first step that is forecast; an input (n, window), `AHEAD` (n, horizon).
        """
        found = {name: np.empty((len(rows), self.window), np.float32) for name in self.names}
        found[AHEAD] = np.empty((len(rows), self.horizon), np.float32)
        by_time = np.argsort(rows, kind="stable")
        steps = rows[by_time]
        # Windows that overlap, or nearly, are read together: across a shard's border as within it.
        cuts = np.flatnonzero(np.diff(steps) > self.window + self.horizon) + 1
        for places in np.split(np.arange(len(rows)), cuts) if len(rows) else ():
            self._read_run(steps[places], by_time[places], found)
        return found

    def _read_run(self, steps: Array, places: Array, found: Arrays) -> None:
        """Fill the places of some rows, whose steps rise and lie close together."""
        first, last = int(steps[0]), int(steps[-1])
        for name, column in self.names.items():
            past = self.columns.read_range(column, first - self.window, last)
            found[name][places] = np.lib.stride_tricks.sliding_window_view(past, self.window)[steps - first]
        ahead = self.columns.read_range(self.target, first, last + self.horizon)
        found[AHEAD][places] = np.lib.stride_tricks.sliding_window_view(ahead, self.horizon)[steps - first]


@dataclass(frozen=True, kw_only=True)
class SeriesPart(StreamedPart):
    """Windows on disk. `places` (n,) are the steps before which they end; `inputs` and `labels` are of the sample."""

    def __len__(self) -> int:
        return len(self.places)

    def rows(self, indices: Array | slice) -> tuple[Arrays, Array]:
        """Return windows and the steps ahead of the chosen rows: from the buffer, else from the disk."""
        held = None if isinstance(indices, slice) else self.batch.find(indices)
        found = self.files.read(self.places[indices]) if held is None else held
        return {name: array for name, array in found.items() if name != AHEAD}, found[AHEAD]

    def sample(self) -> Part:
        """Return the sample as rows of their own."""
        return Part(inputs=self.inputs, labels=self.labels)


def windows_on_disk(files: WindowFiles, starts: Array, *, buffer_bytes: int) -> SeriesPart:
    """Return the windows that end before each of `starts`, shape (n,), to be learned from in buffers."""
    count = min(len(starts), SAMPLE_ROWS, max(1, buffer_bytes // files.row_bytes))
    chosen = np.sort(np.random.default_rng(len(starts)).choice(len(starts), count, replace=False))
    sample = files.read(starts[chosen])
    labels = sample.pop(AHEAD)
    return SeriesPart(
        inputs=sample, labels=labels, files=files, places=starts, sample_rows=chosen, buffer_bytes=buffer_bytes
    )


def windows_in_memory(files: WindowFiles, starts: Array, *, most_bytes: int) -> tuple[Part, int]:
    """Return the windows that end before `starts`, in memory: all, or each k-th where they would take more; and k."""
    most = max(1, most_bytes // files.row_bytes)
    every = max(1, -(-len(starts) // most))
    found = files.read(starts[::every])
    labels = found.pop(AHEAD)
    return Part(inputs=found, labels=labels), every
