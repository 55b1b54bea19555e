"""Rows are read from columns on disk in few reads, and little is read that nobody wants."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.columns import LARGEST_GAP_BYTES, ColumnFiles, ColumnWriter


def written(folder: Path, rows: int, *, numbers: int) -> ColumnFiles:
    """Write rows of so many numbers, the first of which is the row's own."""
    values = np.zeros((rows, numbers), np.float32)
    values[:, 0] = np.arange(rows)
    with ColumnWriter(folder) as writer:
        writer.add({"x": values, "name": np.array([f"row {n}" for n in range(rows)], dtype=object)})
        return writer.finish()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the bytes of each read of a column of numbers."""
    found: list[int] = []
    read = os.preadv

    def counting(*args: Any) -> int:
        found.append(read(*args))
        return found[-1]

    monkeypatch.setattr("training.data.columns.os.preadv", counting)
    return found


def test_of_large_rows_only_the_wanted_ones_are_read(tmp_path: Path, reads: list[int]) -> None:
    files = written(tmp_path, 40, numbers=LARGEST_GAP_BYTES // 2)
    wanted = np.array([1, 3, 4, 5, 30])
    found = files.read(wanted)
    assert found["x"][:, 0].tolist() == wanted.tolist()
    assert found["name"].tolist() == [f"row {n}" for n in wanted]
    row_bytes = 2 * LARGEST_GAP_BYTES
    assert sum(reads) == len(wanted) * row_bytes and len(reads) <= 4


def test_small_rows_that_lie_near_each_other_are_one_read(tmp_path: Path, reads: list[int]) -> None:
    files = written(tmp_path, 10_000, numbers=4)
    wanted = np.array([9000, 5, 100, 2000, 5])  # in any order, some twice
    assert files.read(wanted)["x"][:, 0].tolist() == wanted.tolist()
    assert len(reads) == 2, "what lies further apart than 64 KiB is another"
