"""Small pictures that can be told apart: a bright bar in one of three places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("left", "middle", "right")


def make_bars(rows: int, *, size: int = 6, channels: int = 1) -> tuple[Any, Any]:
    """Return pixels (rows, size, size, channels) uint8 and labels (rows,) 0 to 2."""
    random = np.random.default_rng(5)
    labels = np.arange(rows) % 3
    pixels = random.integers(0, 90, (rows, size, size, channels), dtype=np.uint8)
    width = size // 3
    for row, label in enumerate(labels):
        pixels[row, :, label * width : (label + 1) * width] += 120
    return pixels, labels


def write_bars(path: Path, *, rows: int = 1803, size: int = 6) -> None:
    """Write an .npz file of them, to be split by seed."""
    pixels, labels = make_bars(rows, size=size)
    np.savez(path, images=pixels, labels=labels)
