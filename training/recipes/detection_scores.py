"""How good detections are: average precision, as COCO has it."""

from __future__ import annotations

import numpy as np

from training.data.dataset import Array

THRESHOLDS = tuple(np.arange(0.5, 1.0, 0.05).round(2).tolist())
RECALLS = np.linspace(0, 1, 101)


def box_overlaps(one: Array, other: Array) -> Array:
    """Return the intersection over the union of each pair, shape (a, b).

    Shapes: (a, 4) and (b, 4): left, top, right, bottom.
    """
    corner = np.maximum(one[:, None, :2], other[None, :, :2])
    across = np.minimum(one[:, None, 2:], other[None, :, 2:]) - corner
    shared = across.clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.where(union > 0, shared / np.maximum(union, 1e-12), 0.0)


def average_precisions(detections: Array, truth: Array, classes: int, *, threshold: float) -> Array:
    """Return the average precision of each class, shape (classes,); NaN for a class that never is there.

    Shapes: detections (n, k, >=6): left, top, right, bottom, score, class (score 0: none); truth (n, boxes, 5): class
    (-1: none), left, top, right, bottom, in the same unit. A true box counts for one detection, the surest that
    overlaps it by the threshold; precision is interpolated at 101 recalls.
    Source: Lin et al., Microsoft COCO (2014), and its evaluation code.
    """
    return np.array([_of_class(detections, truth, kind, threshold) for kind in range(classes)])


def detection_metrics(detections: Array, truth: Array, classes: int) -> dict[str, float]:
    """Return `map_50`, the mean average precision at an overlap of 0.5, and `map`, its mean over 0.5 to 0.95."""
    found = [average_precisions(detections, truth, classes, threshold=t) for t in THRESHOLDS]
    means = [float(np.nanmean(each)) if np.isfinite(each).any() else 0.0 for each in found]
    return {"map_50": means[0], "map": float(np.mean(means))}


def _of_class(detections: Array, truth: Array, kind: int, threshold: float) -> float:
    scores: list[float] = []
    is_right: list[bool] = []
    there = 0
    for found, known in zip(detections, truth, strict=True):
        mine = found[(found[:, 4] > 0) & (found[:, 5] == kind)]
        mine = mine[np.argsort(-mine[:, 4], kind="stable")]
        boxes = known[known[:, 0] == kind, 1:]
        there += len(boxes)
        scores += mine[:, 4].tolist()
        is_right += _match(mine[:, :4], boxes, threshold)
    if not there:
        return float("nan")
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.cumsum(np.array(is_right, dtype=float)[order])
    recall, precision = hits / there, hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]  # the best precision at this recall or more
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(np.where(places < len(envelope), np.append(envelope, 0.0)[places], 0.0).mean())


def _match(found: Array, boxes: Array, threshold: float) -> list[bool]:
    overlaps = box_overlaps(found, boxes)
    is_taken = np.zeros(len(boxes), dtype=bool)
    is_right = []
    for row in overlaps:
        row = np.where(is_taken, -1.0, row)
        best = int(row.argmax()) if len(row) else -1
        is_right.append(bool(best >= 0 and row[best] >= threshold))
        if is_right[-1]:
            is_taken[best] = True
    return is_right
