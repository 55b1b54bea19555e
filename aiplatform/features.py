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
BLOCK_VALUES = 64 * 1024  # of images computed at once: they stay in the processor's cache
MIN_VARIANCE_SHARE = 0.05  # of the mean square: below it, single precision loses too much

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
    rows = max(1, BLOCK_VALUES // max(1, images[0].size))
    blocks = [_block_features(images[i : i + rows]) for i in range(0, len(images), rows)]
    columns = np.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0]
    return dict(zip(IMAGE_FEATURES, columns.astype(np.float64), strict=True))


def _block_features(images: Array) -> Array:
    """Return the features of images few enough for the processor's cache, shape (4, n), float32."""
    pixels = images.astype(np.float32, copy=False)
    count, height, width = pixels.shape[:3]
    if pixels.ndim > 3:
        pixels = pixels.mean(axis=tuple(range(3, pixels.ndim))) if pixels.shape[3:] != (1,) else pixels[..., 0]
    flat = np.require(pixels, requirements=("C", "A")).reshape(count, -1)  # (n, h * w)
    size = np.float32(flat.shape[1])
    brightness = _row_sums(flat) / size
    middle = (flat.max(axis=1) + flat.min(axis=1)) / 2
    fill = _row_counts(flat > middle[:, None]) / size
    steps = height * (width - 1) + (height - 1) * width
    moves = _step_sums(flat.reshape(count, height, width), 2) + _step_sums(flat.reshape(count, height, width), 1)
    sharpness = moves / np.float32(max(1, steps))
    return np.stack([brightness, _contrast(flat, brightness), sharpness, fill.astype(np.float32)])


def _row_sums(rows: Array) -> Array:
    """Return the sum of each row: as a dot product, which is quicker than a sum."""
    total: Array = np.vecdot(rows, np.ones(rows.shape[1], rows.dtype))
    return total


def _row_counts(is_so: Array) -> Array:
    """Return how many of each row are true: by the bits of eight at a time where a row is whole eights."""
    if is_so.shape[1] % 8 or not is_so.flags.c_contiguous:
        some: Array = np.count_nonzero(is_so, axis=1)
        return some
    counts: Array = np.bitwise_count(is_so.view(np.uint64)).sum(axis=1, dtype=np.int64)
    return counts


def _contrast(flat: Array, brightness: Array) -> Array:
    """Return the standard deviation of each row.

    The mean of the squares less the square of the mean; where these are nearly the same, little would be left of the
    digits, so there the mean is taken away first.
    """
    size = np.float32(flat.shape[1])
    squares = np.vecdot(flat, flat) / size
    variance = squares - brightness * brightness
    is_weak = ~(variance > squares * MIN_VARIANCE_SHARE)
    if is_weak.any():
        centred = flat[is_weak] - brightness[is_weak, None]
        variance[is_weak] = np.vecdot(centred, centred) / size
    contrast: Array = np.sqrt(variance)
    return contrast


def _step_sums(gray: Array, axis: int) -> Array:
    """Return the sum of the absolute differences of neighbours along an axis of each image, shape (n,).

    Taken over all images as one line, which numpy does much faster; what joins two lines or two images is
    left out of the sum.
    """
    line = gray.reshape(-1)
    stride = gray.shape[2] if axis == 1 else 1
    whole = line.size - stride
    steps = np.empty_like(gray)
    differences = steps.reshape(-1)[:whole]
    np.subtract(line[stride:], line[:whole], out=differences)
    np.abs(differences, out=differences)
    if axis == 1:
        steps[:, -1] = 0
    else:
        steps[:, :, -1] = 0
    return _row_sums(steps.reshape(len(gray), -1))


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
    second; (n,) or (n, 1) without labels, or of whole numbers (a count), is a regression.
    """
    scores = np.asarray(next(iter(outputs.values())))
    if scores.ndim <= 1 or scores.shape[-1] == 1:
        column = scores.reshape(-1).astype(np.float64)
        if len(labels) != 2 or scores.dtype.kind in "iu":
            return PredictionColumns(values=column)
        scores = np.stack([1.0 - column, column], axis=1)
    flat = scores.reshape(len(scores), -1)
    best = flat.argmax(axis=1)
    return PredictionColumns(
        codes=best, texts=_class_names(tuple(labels), flat.shape[1]),
        confidences=flat.max(axis=1).astype(np.float64), scores=encode_scores(flat),
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def _class_names(labels: tuple[str, ...], classes: int) -> tuple[str, ...]:
    return (*labels[:classes], *(str(i) for i in range(len(labels), classes)))
