"""Which features are watched, computed by the same code in training and in serving.

A scalar input is a feature of its own name. An image is four numbers: brightness, contrast,
sharpness, fill. A vector of k numbers is k features. So the baseline in the artifact and the
windows of monitoring cannot differ by how they were computed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.scores import encode_scores

MAX_VECTOR_FEATURES = 64  # of a longer vector, only the first are watched
IMAGE_FEATURES = ("brightness", "contrast", "sharpness", "fill")
IMAGE_BLOCK = 64  # images computed at once

Array = np.ndarray[Any, Any]


def extract_features(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return columns of shape (n,): float64 for numbers, object (str or None) for categories.

    Shapes: each input has n rows first; rank 3 and 4 (height, width[, channels]) is an image.
    """
    columns: dict[str, Array] = {}
    images = [name for name, array in inputs.items() if array.ndim >= 3]
    for name, array in inputs.items():
        if array.ndim >= 3:
            prefix = f"{name}." if len(images) > 1 else ""
            columns.update({prefix + key: values for key, values in image_features(array).items()})
        else:
            columns.update(_scalar_columns(name, array))
    return columns


def image_features(images: Array) -> dict[str, Array]:
    """Return brightness, contrast, sharpness and fill of each image, in the image's own units.

    Shapes: (n, height, width) or (n, height, width, channels).
    brightness: mean; contrast: standard deviation; sharpness: mean absolute difference of
    neighbours; fill: share of pixels above the middle between the image's least and greatest.
    """
    if not len(images):
        return {name: np.zeros(0) for name in IMAGE_FEATURES}
    blocks = [_block_features(images[i : i + IMAGE_BLOCK]) for i in range(0, len(images), IMAGE_BLOCK)]
    columns = np.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0]
    return dict(zip(IMAGE_FEATURES, columns.astype(np.float64), strict=True))


def _block_features(images: Array) -> Array:
    """Return the features of images few enough for the processor's cache, shape (4, n), float32."""
    pixels = images.astype(np.float32, copy=False)
    count, height, width = pixels.shape[:3]
    if pixels.ndim > 3:
        pixels = pixels.mean(axis=tuple(range(3, pixels.ndim))) if pixels.shape[3:] != (1,) else pixels[..., 0]
    flat = np.ascontiguousarray(pixels).reshape(count, -1)  # (n, h * w)
    gray = flat.reshape(count, height, width)
    size = np.float32(flat.shape[1])
    middle = (flat.max(axis=1) + flat.min(axis=1)) / 2
    fill = np.count_nonzero(flat > middle[:, None], axis=1) / size
    brightness = flat.mean(axis=1)
    centred = flat - brightness[:, None]
    contrast = np.sqrt(np.einsum("ij,ij->i", centred, centred) / size)
    steps = height * (width - 1) + (height - 1) * width
    sharpness = (_step_sum(gray, 2) + _step_sum(gray, 1)) / np.float32(max(1, steps))
    return np.stack([brightness, contrast, sharpness, fill.astype(np.float32)])


def _step_sum(gray: Array, axis: int) -> Array:
    """Return the sum of the absolute differences of neighbours along an axis, shape (n,)."""
    steps = np.diff(gray, axis=axis)
    np.abs(steps, out=steps)
    total: Array = steps.reshape(len(gray), -1).sum(axis=1)
    return total


def _scalar_columns(name: str, array: Array) -> dict[str, Array]:
    if array.ndim == 1 or array.shape[1] == 1:
        return {name: _column(array.reshape(-1))}
    width = min(array.shape[1], MAX_VECTOR_FEATURES)
    return {f"{name}[{i}]": _column(array[:, i]) for i in range(width)}


def _column(values: Array) -> Array:
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values.tolist()]
    return np.array([None if v is None or v == "" or v != v else str(v) for v in texts], dtype=object)  # NaN != NaN


@dataclass(frozen=True, kw_only=True)
class PredictionSummary:
    """Per row: the predicted label with its confidence, or the predicted number."""

    labels: list[str] | None
    confidences: list[float] | None
    values: list[float] | None


@dataclass(frozen=True, kw_only=True)
class PredictionColumns:
    """The same in columns of shape (n,): labels as places in `texts`, or values alone."""

    codes: Array | None = None
    texts: tuple[str, ...] = ()
    confidences: Array | None = None
    values: Array | None = None
    scores: Array | None = None  # codes of `aiplatform.scores`, shape (n, columns), of the classes in `texts`


def summarise_predictions(outputs: Mapping[str, Array], labels: Sequence[str]) -> PredictionSummary:
    """Return what the first output says of each row, shapes as for `predicted_columns`."""
    columns = predicted_columns(outputs, labels)
    return PredictionSummary(
        labels=None if columns.codes is None else [columns.texts[code] for code in columns.codes.tolist()],
        confidences=None if columns.confidences is None else columns.confidences.tolist(),
        values=None if columns.values is None else columns.values.tolist(),
    )


def predicted_columns(outputs: Mapping[str, Array], labels: Sequence[str]) -> PredictionColumns:
    """Return what the first output says of each row.

    Shapes: (n, classes) probabilities; (n,) or (n, 1) with two labels is the probability of the
    second; (n,) or (n, 1) without labels is a regression.
    """
    scores = np.asarray(next(iter(outputs.values())))
    if scores.ndim <= 1 or scores.shape[-1] == 1:
        column = scores.reshape(-1).astype(np.float64)
        if len(labels) != 2:
            return PredictionColumns(values=column)
        scores = np.stack([1.0 - column, column], axis=1)
    flat = scores.reshape(len(scores), -1)
    best = flat.argmax(axis=1)
    return PredictionColumns(
        codes=best, texts=_class_names(tuple(labels), flat.shape[1]),
        confidences=flat[np.arange(len(flat)), best].astype(np.float64), scores=encode_scores(flat),
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _class_names(labels: tuple[str, ...], classes: int) -> tuple[str, ...]:
    return (*labels[:classes], *(str(i) for i in range(len(labels), classes)))
