"""Object detection: boxes around what is on an image, with class and score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import Array, Part
from training.recipes.detection_scores import THRESHOLDS, average_precisions, detection_metrics
from training.recipes.tasks import Metrics, Task

COLUMNS = 7  # of a detection: left, top, right, bottom, score, class, and how many the image has


class Detection(Task):
    """Detections (n, most, 7), the surest first, sides in shares of the image; targets (n, boxes, 5).

    Served are `count`, which monitoring watches, and `boxes` in pixels with `scores` and `classes`; rows behind the
    last detection are 0, their class is -1.
    """

    name = "object_detection"
    measure = "iou"  # of the true boxes with what is said where their middles are

    def __init__(self, names: tuple[str, ...], *, most: int, height: int, width: int) -> None:
        self.names, self.most = names, most
        self.sides = np.array([width, height, width, height], np.float32)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Return `count`, `boxes`, `scores` and `classes`."""
        return (
            TensorSpec(name="count", dtype=DType.INT32, shape=(-1, 1)),
            TensorSpec(name="boxes", dtype=DType.FP32, shape=(-1, self.most, 4)),
            TensorSpec(name="scores", dtype=DType.FP32, shape=(-1, self.most)),
            TensorSpec(name="classes", dtype=DType.INT32, shape=(-1, self.most)),
        )

    def answers(self, outputs: Any) -> dict[str, Any]:
        """Return what is served from the detections."""
        return {
            "count": _whole(outputs[:, 0, 6:]),
            "boxes": outputs[:, :, :4] * self.sides,
            "scores": outputs[:, :, 4],
            "classes": _whole(outputs[:, :, 5]),
        }

    def validate(self, outputs: Array, targets: Array) -> Metrics:
        """Return `map_50`, and as the loss what it lacks to 1: detections alone do not say what was learned with."""
        precision = average_precisions(outputs, targets, len(self.names), threshold=THRESHOLDS[0])
        mean = float(np.nanmean(precision)) if np.isfinite(precision).any() else 0.0
        return {"loss": 1 - mean, "map_50": mean}

    def test(self, outputs: Array, rows: Part) -> Metrics:
        """Return COCO's mean average precision, at an overlap of 0.5 and over 0.5 to 0.95."""
        return detection_metrics(outputs, rows.labels, len(self.names))

    def evaluate(self, outputs: Array, targets: Array) -> Mapping[str, Any]:
        """Return the average precision of each class at an overlap of 0.5."""
        found = average_precisions(outputs, targets, len(self.names), threshold=THRESHOLDS[0])
        each = [float(value) if np.isfinite(value) else None for value in found]
        return {"labels": list(self.names), "average_precision_50": dict(zip(self.names, each, strict=True))}


def _whole(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return values.astype(np.int32)
    from keras import ops

    return ops.cast(values, "int32")
