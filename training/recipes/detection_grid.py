"""What the cells of a detector's grid are to say, and how they are read; Keras, on any of its backends.

A cell says, for each class, the logit that an object's middle is in it; then where in the cell it is (x, y, from 0 to
1) and the logarithms of width and height in cells. Source: Zhou, Wang and Kraehenbuehl, Objects as Points (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ALPHA, BETA = 2.0, 4.0  # of the focal loss: what is easy, and what is near a middle, counts less
BOX_WEIGHT = 1.0
SPREAD = 0.15  # deviation of the bell around a middle, in an object's sides
EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How many cells there are."""

    rows: int
    columns: int


def grid_loss(targets: Any, outputs: Any) -> tuple[Any, Any]:
    """Return the loss of each image, shape (n,), and the mean overlap of its true boxes with those said.

    Shapes: targets (n, boxes, 5): class (-1: none), left, top, right, bottom in shares of the sides; outputs
    (n, rows, columns, classes + 4).
    """
    from keras import ops

    rows, columns, channels = outputs.shape[1:]
    classes, cells = channels - 4, rows * columns
    flat = ops.reshape(outputs, (-1, cells, channels))
    is_there = ops.cast(targets[:, :, 0] >= 0, "float32")  # (n, boxes)
    size = ops.convert_to_tensor([columns, rows], dtype="float32")
    low, high = targets[:, :, 1:3] * size, targets[:, :, 3:5] * size  # (n, boxes, 2): x, y in cells
    middle, sides = (low + high) / 2, ops.maximum(high - low, 1e-3)
    cell = ops.clip(ops.floor(middle), 0, size - 1)
    at = ops.one_hot(ops.cast(cell[..., 1] * columns + cell[..., 0], "int32"), cells)  # (n, boxes, cells)
    at = at * is_there[..., None]
    loss = _middles_loss(flat[..., :classes], targets, middle, sides, at, (rows, columns))
    said = ops.matmul(at, flat[..., classes:])  # (n, boxes, 4), of each box's own cell
    wanted = ops.concatenate([middle - cell, ops.log(sides)], axis=-1)
    gaps = ops.sum(_smooth(said - wanted), axis=-1) * is_there  # (n, boxes)
    count = ops.maximum(ops.sum(is_there, axis=1), 1.0)  # (n,)
    half = ops.exp(ops.clip(said[..., 2:], -5, 5)) / 2
    overlap = _overlaps(cell + said[..., :2], half, middle, sides / 2) * is_there
    return loss / count + BOX_WEIGHT * ops.sum(gaps, axis=1) / count, ops.sum(overlap, axis=1) / count


def _middles_loss(logits: Any, targets: Any, middle: Any, sides: Any, at: Any, shape: tuple[int, int]) -> Any:
    """Return the focal loss of the middles, shape (n,)."""
    from keras import ops

    rows, columns = shape
    classes = logits.shape[-1]
    x = ops.tile(ops.arange(columns, dtype="float32") + 0.5, (rows,))  # (cells,)
    y = ops.repeat(ops.arange(rows, dtype="float32") + 0.5, columns)
    away_x = (x - middle[..., :1]) / (SPREAD * sides[..., :1])  # (n, boxes, cells), in deviations
    away_y = (y - middle[..., 1:]) / (SPREAD * sides[..., 1:])
    bell = ops.exp(-(ops.square(away_x) + ops.square(away_y)) / 2)
    kind = ops.one_hot(ops.cast(targets[:, :, 0], "int32"), classes)  # (n, boxes, classes); none for -1
    near = ops.max(bell[..., None] * kind[:, :, None, :], axis=1)  # (n, cells, classes), 0 to 1
    is_middle = ops.max(at[..., None] * kind[:, :, None, :], axis=1)  # 0 or 1
    p = ops.clip(ops.sigmoid(logits), EPSILON, 1 - EPSILON)
    hit = is_middle * (1 - p) ** ALPHA * ops.log(p)
    miss = (1 - is_middle) * (1 - near) ** BETA * p**ALPHA * ops.log(1 - p)
    return -ops.sum(hit + miss, axis=(1, 2))


def decode_grid(outputs: Any, grid: Grid, *, most: int, least: float) -> Any:
    """Return detections, shape (n, most, 7): left, top, right, bottom in shares, score, class, and their number.

    A cell counts if no cell around it is surer of the same class, which needs no further suppression of overlaps.
    """
    from keras import layers, ops

    classes, cells = outputs.shape[-1] - 4, grid.rows * grid.columns
    most = min(most, cells * classes)
    scores = ops.sigmoid(outputs[..., :classes])
    peaks = layers.MaxPooling2D(3, strides=1, padding="same")(scores)
    scores = ops.where((scores >= peaks) & (scores >= least), scores, 0.0)
    best, places = ops.top_k(ops.reshape(scores, (-1, cells * classes)), most)  # (n, most)
    places = ops.cast(places, "int32")
    cell, kind = places // classes, places % classes
    at = ops.one_hot(cell, cells)  # (n, most, cells)
    said = ops.matmul(at, ops.reshape(outputs[..., classes:], (-1, cells, 4)))  # (n, most, 4)
    corner = ops.cast(ops.stack([cell % grid.columns, cell // grid.columns], axis=-1), "float32")
    size = ops.convert_to_tensor([grid.columns, grid.rows], dtype="float32")
    middle, half = (corner + said[..., :2]) / size, ops.exp(ops.clip(said[..., 2:], -5, 5)) / 2 / size
    boxes = ops.clip(ops.concatenate([middle - half, middle + half], axis=-1), 0.0, 1.0)
    is_found = ops.cast(best > 0, "float32")[..., None]  # (n, most, 1)
    count = ops.ones_like(is_found) * ops.sum(is_found, axis=1, keepdims=True)
    named = ops.where(best > 0, ops.cast(kind, "float32"), -1.0)[..., None]
    return ops.concatenate([boxes * is_found, best[..., None], named, count], axis=-1)


def _smooth(gaps: Any) -> Any:
    from keras import ops

    size = ops.abs(gaps)
    return ops.where(size < 1, size * size / 2, size - 0.5)


def _overlaps(middle: Any, half: Any, other: Any, other_half: Any) -> Any:
    """Return intersection over union, shape (n, boxes); boxes by their middles and half sides."""
    from keras import ops

    low, high = ops.maximum(middle - half, other - other_half), ops.minimum(middle + half, other + other_half)
    shared = ops.prod(ops.maximum(high - low, 0.0), axis=-1)
    union = ops.prod(2 * half, axis=-1) + ops.prod(2 * other_half, axis=-1) - shared
    return shared / ops.maximum(union, 1e-9)
