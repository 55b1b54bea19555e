"""Measures of a model that says labels, from its counts; defined as scikit-learn defines them.

A measure whose denominator is 0 is unknown; in a mean over classes it counts as 0, and classes that were
neither said nor true do not count.
"""

from __future__ import annotations

import math

import numpy as np

from monitoring.performance.cells import Array, Cells
from monitoring.performance.counts import (
    ANOTHER,
    CONFIDENCE_BINS,
    FIRST_LABEL,
    SCORE_BINS,
    STRIDE,
    UNIT,
    Counts,
)
from monitoring.performance.intervals import auc_of, f1_of, mean_of, multinomial, normal, share
from monitoring.performance.results import (
    Average,
    CalibrationResult,
    ClassificationResult,
    ClassResult,
    ConfusionMatrix,
    Estimate,
    ReliabilityBin,
)

OTHER_LABELS = "(other labels)"


def measure_classification(counts: Counts) -> ClassificationResult | None:
    """Return every measure of the labelled rows; None if there are none."""
    if counts.labelled <= 0:
        return None
    labels, matrix = confusion_matrix(counts.confusion, counts.labels)
    correct = int(np.trace(matrix)) - confused_others(counts.confusion)
    areas = _areas(counts)
    return ClassificationResult(
        labelled=counts.labelled,
        accuracy=share(correct, counts.labelled),
        precision=average_precision(matrix),
        recall=average_recall(matrix),
        f1=average_f1(matrix),
        roc_auc=_area_of_all(counts, areas),
        log_loss=_log_loss(counts),
        calibration=_calibration(counts.sure),
        confusion=ConfusionMatrix(labels=labels, counts=tuple(tuple(row) for row in matrix.tolist())),
        classes=tuple(_class_result(i, label, matrix, areas) for i, label in enumerate(labels)),
    )


def confusion_matrix(cells: Cells, labels: tuple[str, ...]) -> tuple[tuple[str, ...], Array]:
    """Return the labels that occur, in order of their names, and counts: rows are true labels, columns predicted."""
    true, predicted = np.divmod(cells.numbers, STRIDE)
    predicted = np.where(predicted == ANOTHER, 0, predicted)
    used = sorted(set(true.tolist()) | set(predicted.tolist()), key=lambda n: (n == 0, _name(n, labels)))
    places = {number: place for place, number in enumerate(used)}
    matrix = np.zeros((len(used), len(used)), np.int64)
    rows = np.array([places[n] for n in true.tolist()], np.int64)
    columns = np.array([places[n] for n in predicted.tolist()], np.int64)
    np.add.at(matrix, (rows, columns), cells.counts)
    return tuple(_name(number, labels) for number in used), matrix


def confused_others(cells: Cells) -> int:
    """Return how many rows with a label beyond those kept were taken for another such label."""
    return int(cells.counts[cells.numbers == ANOTHER].sum())


def _name(number: int, labels: tuple[str, ...]) -> str:
    return labels[number - FIRST_LABEL] if number >= FIRST_LABEL else OTHER_LABELS


def _class_result(place: int, label: str, matrix: Array, areas: dict[str, Estimate]) -> ClassResult:
    right, support, said = int(matrix[place, place]), int(matrix[place].sum()), int(matrix[:, place].sum())
    return ClassResult(
        label=label,
        support=support,
        predicted=said,
        precision=share(right, said),
        recall=share(right, support),
        f1=f1_of(right, said - right, support - right),
        roc_auc=areas.get(label, Estimate()),
    )


def average_precision(matrix: Array) -> Average:
    """Return precision over all classes."""
    said = matrix.sum(axis=0)
    return _average(
        matrix, numerator=1.0, by_truth=np.zeros(len(matrix)), by_said=np.ones(len(matrix)), denominator=said
    )


def average_recall(matrix: Array) -> Average:
    """Return recall over all classes."""
    support = matrix.sum(axis=1)
    ones = np.ones(len(matrix))
    return _average(matrix, numerator=1.0, by_truth=ones, by_said=0 * ones, denominator=support)


def average_f1(matrix: Array) -> Average:
    """Return F1 over all classes."""
    ones = np.ones(len(matrix))
    return _average(
        matrix, numerator=2.0, by_truth=ones, by_said=ones, denominator=matrix.sum(axis=0) + matrix.sum(axis=1)
    )


def _average(matrix: Array, *, numerator: float, by_truth: Array, by_said: Array, denominator: Array) -> Average:
    """Average s_c = numerator p_cc / d_c, d_c = by_truth r_c + by_said q_c; r and q are shares of rows and columns."""
    samples, size = matrix.sum(), len(matrix)
    p, d = matrix / samples, denominator / samples
    r = p.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(d > 0, numerator * np.diag(p) / d, 0.0)
        slope = np.where(d > 0, scores / d, 0.0)  # -ds_c / dd_c
        direct = np.where(d > 0, numerator / d, 0.0)
    found = []
    for weights in (np.full(size, 1 / size), r):
        gradient = np.diag(weights * direct)
        gradient = gradient - (weights * slope * by_truth)[:, None] - (weights * slope * by_said)[None, :]
        if weights is r:
            gradient = gradient + scores[:, None]
        found.append(multinomial(float((weights * scores).sum()), gradient, matrix))
    return Average(macro=found[0], weighted=found[1])


def _areas(counts: Counts) -> dict[str, Estimate]:
    """Return the area under each class's curve against the rest, by label."""
    groups, bins = np.divmod(counts.scores.numbers, SCORE_BINS)
    by_group: dict[int, Array] = {}
    for group in np.unique(groups).tolist():
        chosen = groups == group
        by_group[group] = np.bincount(bins[chosen], counts.scores.counts[chosen], SCORE_BINS)
    none = np.zeros(SCORE_BINS)
    places = (1,) if len(counts.classes) == 2 else range(len(counts.classes))
    found = {counts.classes[c]: auc_of(by_group.get(c * 2 + 1, none), by_group.get(c * 2, none)) for c in places}
    if len(counts.classes) == 2:
        found[counts.classes[0]] = found[counts.classes[1]]  # of two classes one's scores are the other's, reversed
    return found


def _area_of_all(counts: Counts, areas: dict[str, Estimate]) -> Estimate:
    if len(counts.classes) == 2:
        return areas[counts.classes[1]]
    return mean_of(list(areas.values()), samples=counts.scored)


def _log_loss(counts: Counts) -> Estimate:
    rows = counts.scored
    if rows <= 0:
        return Estimate()
    mean = counts.loss_sum / UNIT / rows
    variance = max(0.0, counts.loss_square_sum / UNIT / rows - mean * mean) / max(1, rows - 1)
    return normal(mean, variance, rows, least=0.0)


def _calibration(cells: Cells) -> CalibrationResult:
    """Return reliability by confidence, and the expected calibration error.

    Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning (AAAI 2015), with
    equal-width bins. Interval: the bins' accuracies are independent shares. Noise floor: the mean of
    |normal(0, s)| is s sqrt(2 / pi).
    """
    table = np.zeros((CONFIDENCE_BINS, 3), np.int64)
    table.reshape(-1)[cells.numbers] = cells.counts
    rows = int(table[:, 0].sum())
    if not rows:
        return CalibrationResult(expected_calibration_error=Estimate(), noise_floor=None)
    bins, error, variance, noise = [], 0.0, 0.0, 0.0
    for place, (count, right, units) in enumerate(table.tolist()):
        if count <= 0:
            continue
        confidence, weight = units / UNIT / count, count / rows
        accuracy = share(right, count)
        error += weight * abs((accuracy.value or 0.0) - confidence)
        variance += weight**2 * (right / count) * (1 - right / count) / count
        noise += weight * math.sqrt(2 / math.pi * max(0.0, confidence * (1 - confidence)) / count)
        edges = place / CONFIDENCE_BINS, (place + 1) / CONFIDENCE_BINS
        bins.append(
            ReliabilityBin(low=edges[0], high=edges[1], count=count, mean_confidence=confidence, accuracy=accuracy)
        )
    found = normal(error, variance, rows, least=0.0, most=1.0)
    return CalibrationResult(expected_calibration_error=found, noise_floor=noise, bins=tuple(bins))
