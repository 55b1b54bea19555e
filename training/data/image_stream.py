"""Images in blocks, for sets that are larger than memory: files in folders, TFRecord and .npy files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from aiplatform.errors import InvalidInputError
from training.data.dataset import IMAGE, Array
from training.data.images import scale_pixels, to_pixels
from training.data.streaming import RowBlock

BLOCK_BYTES = 16 * 1024 * 1024


def image_row_blocks(rows: Iterable[tuple[Array, Any, str]]) -> Iterator[RowBlock]:
    """Yield blocks of images (height, width[, channels]), uint8, with their labels and parts ('' for none)."""
    pixels: list[Array] = []
    labels: list[Any] = []
    parts: list[str] = []
    for image, label, part in rows:
        pixels.append(image if image.ndim == 3 else image[..., None])
        labels.append(label)
        parts.append(part)
        if len(pixels) * image.nbytes >= BLOCK_BYTES:
            yield _block(np.stack(pixels), labels, parts)
            pixels, labels, parts = [], [], []
    if pixels:
        yield _block(np.stack(pixels), labels, parts)


def _block(pixels: Array, labels: list[Any], parts: list[str]) -> RowBlock:
    values = np.array(parts, dtype=object) if any(parts) else None
    return RowBlock(inputs={IMAGE: pixels}, targets=np.array(labels), values=values)


def npy_row_blocks(files: dict[str, tuple[Path, Path]]) -> Iterator[RowBlock]:
    """Yield blocks of the images of .npy files by part; they are read, not mapped.

    Raises: InvalidInputError if arrays do not fit each other or cannot be pixels.
    """
    whole = {part: _range(inputs) for part, (inputs, _) in files.items()}
    low, high = min(low for low, _ in whole.values()), max(high for _, high in whole.values())
    for part, (inputs, labels_path) in files.items():
        labels = np.load(labels_path, allow_pickle=False)
        done = 0
        for block in npy_blocks(inputs):
            pixels = block if block.ndim == 4 else block[..., None]
            if pixels.dtype != np.uint8:
                is_whole = pixels.dtype.kind in "ui"
                pixels = scale_pixels(pixels.astype(np.float32), low, high, is_whole=is_whole, where=str(inputs))
            targets = labels[done : done + len(block)]
            done += len(block)
            if len(targets) != len(block):
                raise InvalidInputError(f"'{inputs}' has more images than there are labels, {len(labels)}")
            values = np.full(len(block), part, dtype=object) if len(files) > 1 else None
            yield RowBlock(inputs={IMAGE: pixels}, targets=targets.reshape(-1), values=values)
        if done != len(labels):
            raise InvalidInputError(f"'{inputs}' has {done} images, and there are {len(labels)} labels")


def _range(path: Path) -> tuple[float, float]:
    """Return the least and the greatest value of an array; of bytes without looking."""
    low, high = 0.0, 0.0
    for number, block in enumerate(npy_blocks(path)):
        if number == 0:
            to_pixels(block[:1].astype(np.uint8), where=str(path))  # its shape
            if block.dtype == np.uint8:
                return 0.0, 255.0
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    return low, high


def npy_blocks(path: Path) -> Iterator[Array]:
    """Yield an array's rows in blocks of 16 MiB.

    Raises: InvalidInputError if it cannot be read, or its rows do not lie one after the other.
    """
    try:
        with path.open("rb") as file:
            version = npy_format.read_magic(file)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, is_fortran, dtype = read(file)
            if is_fortran or dtype.hasobject or len(shape) not in (3, 4) or dtype.kind not in "uifb":
                raise InvalidInputError(
                    f"'{path}' must hold images as numbers of shape (n, height, width[, channels]) in C order"
                )
            row_values = int(np.prod(shape[1:], dtype=np.int64))
            at_once = max(1, BLOCK_BYTES // max(1, row_values * dtype.itemsize))
            for start in range(0, shape[0], at_once):
                count = min(at_once, shape[0] - start)
                values = np.fromfile(file, dtype=dtype, count=count * row_values)
                if values.size != count * row_values:
                    raise InvalidInputError(f"'{path}' is cut: its header says {shape}")
                yield values.reshape(count, *shape[1:])
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInputError(f"'{path}' is not a readable .npy file: {error}") from error
