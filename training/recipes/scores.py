"""Scores from probabilities and labels, the same for every framework."""

from __future__ import annotations

import numpy as np

from training.data.dataset import Array

LEAST_PROBABILITY = 1e-7  # keeps the logarithm finite, as Keras does


def cross_entropy(probabilities: Array, labels: Array) -> float:
    """Return the mean negative log-probability of the true class, in nats.

    Shapes: probabilities (n, classes); labels (n,) class indices.
    """
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(of_truth, LEAST_PROBABILITY, 1.0)).mean())


def accuracy(probabilities: Array, labels: Array) -> float:
    """Return the share of rows whose most probable class is the true one."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def roc_auc(scores: Array, is_positive: Array) -> float:
    """Return how often a positive row scores above a negative one; a tie counts half.

    Shapes: both (n,). Returns NaN unless both kinds are there.
    Source: the Mann-Whitney U statistic (Hanley and McNeil, Radiology 143, 1982).
    """
    positives = int(is_positive.sum())
    negatives = len(is_positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # tied rows share their mean rank
    rank_sum = float(mean_rank[inverse][is_positive].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def regression_metrics(values: Array, truth: Array) -> dict[str, float]:
    """Return the mean absolute error, the root mean squared error and R2 (left out where the truth does not vary).

    Shapes: both (n,); errors in the target's unit; R2 is the share of variance that is explained, at most 1.
    """
    errors = values.astype(np.float64) - truth.astype(np.float64)
    squares = float((errors**2).mean())
    variance = float(truth.astype(np.float64).var())
    explained = {"r2": 1.0 - squares / variance} if variance > 0 else {}
    return {"mae": float(np.abs(errors).mean()), "rmse": squares**0.5, **explained}


def confusion_matrix(probabilities: Array, labels: Array) -> Array:
    """Return counts, shape (classes, classes): rows are true classes, columns predicted ones."""
    classes = probabilities.shape[1]
    cells = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
