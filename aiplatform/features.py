"""Which features are watched, computed by the same code in training and in serving.

A scalar input is a feature of its own name. An image is four numbers: brightness, contrast,
sharpness, fill. A vector of k numbers is k features. So the baseline in the artifact and the
windows of monitoring cannot differ by how they were computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_VECTOR_FEATURES = 64  # of a longer vector, only the first are watched

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
    pixels = images.astype(np.float32)
    gray = pixels.mean(axis=tuple(range(3, pixels.ndim))) if pixels.ndim > 3 else pixels  # (n, h, w)
    if not len(gray):
        return {name: np.zeros(0) for name in ("brightness", "contrast", "sharpness", "fill")}
    flat = gray.reshape(len(gray), -1)
    middle = (flat.max(axis=1) + flat.min(axis=1)) / 2
    across = np.abs(np.diff(gray, axis=2)).reshape(len(gray), -1)
    down = np.abs(np.diff(gray, axis=1)).reshape(len(gray), -1)
    steps = np.concatenate([across, down], axis=1)
    columns = {
        "brightness": flat.mean(axis=1),
        "contrast": flat.std(axis=1),
        "sharpness": steps.mean(axis=1) if steps.shape[1] else np.zeros(len(flat)),
        "fill": (flat > middle[:, None]).mean(axis=1),
    }
    return {name: values.astype(np.float64) for name, values in columns.items()}


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


def summarise_predictions(outputs: Mapping[str, Array], labels: Sequence[str]) -> PredictionSummary:
    """Return what the first output says of each row.

    Shapes: (n, classes) probabilities; (n,) or (n, 1) with two labels is the probability of the
    second; (n,) or (n, 1) without labels is a regression.
    """
    scores = np.asarray(next(iter(outputs.values())))
    if scores.ndim <= 1 or scores.shape[-1] == 1:
        column = scores.reshape(-1).astype(np.float64)
        if len(labels) != 2:
            return PredictionSummary(labels=None, confidences=None, values=column.tolist())
        scores = np.stack([1.0 - column, column], axis=1)
    flat = scores.reshape(len(scores), -1)
    best = flat.argmax(axis=1)
    names = [labels[i] if i < len(labels) else str(i) for i in best.tolist()]
    confidences = flat[np.arange(len(flat)), best].astype(np.float64)
    return PredictionSummary(labels=names, confidences=confidences.tolist(), values=None)
