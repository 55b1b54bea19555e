"""What was kept of a prediction, as a page shows it: images drawn, scores as bars, the rest as values."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitoring.store.lookup import StoredRow

MAX_SIDE = 1024  # of an image that is drawn
MAX_SCORES = 20  # of an output, the greatest first
MAX_VALUES = 60  # of any other tensor
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class ShownTensor:
    """One tensor: an image (a data URI), or scores by class (0 to 1), or text."""

    name: str
    shape: str
    image: str = ""
    scores: Sequence[tuple[str, float]] = field(default_factory=tuple)
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class ShownRow:
    """One stored row."""

    stored: StoredRow
    inputs: list[ShownTensor]
    outputs: list[ShownTensor]


def show_row(row: StoredRow) -> ShownRow:
    """Return a row as the page shows it."""
    return ShownRow(
        stored=row,
        inputs=[show_input(name, array) for name, array in row.inputs.items()],
        outputs=[show_output(name, array, row.class_labels) for name, array in row.outputs.items()],
    )


def show_input(name: str, array: Array) -> ShownTensor:
    """Return an input: an image if it can be one."""
    if _is_image(array):
        return ShownTensor(name=name, shape=_shape(array), image=png_uri(array))
    return ShownTensor(name=name, shape=_shape(array), text=_text(array))


def show_output(name: str, array: Array, class_labels: Sequence[str]) -> ShownTensor:
    """Return an output: scores by class if there is one a class."""
    flat = array.reshape(-1)
    if len(class_labels) == len(flat) > 1 and flat.dtype.kind == "f":
        best = np.argsort(-flat)[:MAX_SCORES]
        return ShownTensor(
            name=name, shape=_shape(array), scores=[(class_labels[place], float(flat[place])) for place in best]
        )
    return ShownTensor(name=name, shape=_shape(array), text=_text(array))


def png_uri(image: Array) -> str:
    """Return an image, shape (height, width[, 1, 3 or 4]), as a PNG in a data URI.

    Values up to 1 are fractions of white, larger ones of 255.
    Source: PNG specification, https://www.w3.org/TR/png-3/, sections 5 and 9.
    """
    pixels = image.astype(np.float32)
    top = float(np.nanmax(pixels)) if pixels.size else 0.0
    scaled = np.nan_to_num(pixels * (255 if 0 < top <= 1 else 1)).clip(0, 255).astype(np.uint8)
    rows = scaled.reshape(len(scaled), -1)
    channels = 1 if image.ndim == 2 else image.shape[2]
    kind = {1: 0, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, kind, 0, 0, 0)
    filtered = np.hstack([np.zeros((len(rows), 1), np.uint8), rows]).tobytes()  # each line begins with "no filter"
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(filtered)), (b"IEND", b"")]
    raw = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)
    return "data:image/png;base64," + base64.b64encode(raw).decode()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _is_image(array: Array) -> bool:
    has_form = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    return has_form and array.dtype.kind in "uif" and min(array.shape[:2]) > 1 and max(array.shape[:2]) <= MAX_SIDE


def _shape(array: Array) -> str:
    return " x ".join(map(str, array.shape)) or "1"


def _text(array: Array) -> str:
    flat = array.reshape(-1)
    shown = ", ".join(_plain(value) for value in flat[:MAX_VALUES].tolist())
    return f"{shown}, and {len(flat) - MAX_VALUES} more" if len(flat) > MAX_VALUES else shown


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
