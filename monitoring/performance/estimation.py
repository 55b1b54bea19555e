"""Performance without labels: what the calibrated confidences of a period add up to.

If of all rows with a confidence of 0.8 eight in ten are right, then the mean calibrated confidence is
the expected accuracy; expected counts of right and wrong give the other measures in the same way. (Called
confidence-based performance estimation; Garg et al., Leveraging Unlabeled Data to Predict
Out-of-Distribution Performance, ICLR 2022, as 'average confidence'.) It holds while a confidence means what
it meant in training: it foresees harder inputs, not a changed relation of inputs and truth.
"""

from __future__ import annotations

from aiplatform.calibration import SECOND_CLASS, Calibration
from monitoring.performance.cells import Array, Cells
from monitoring.performance.counts import SCORE_BINS
from monitoring.performance.intervals import auc_of, f1_of, share
from monitoring.performance.observed import SURE_BASE, bin_centres
from monitoring.performance.results import Estimate, EstimatedResult

NOTHING = Estimate()


def estimate_performance(
    sure: Cells,
    calibration: Calibration,
    *,
    expected: float | None,
    min_samples: int,
    realised: Estimate = NOTHING,
    label_coverage: float | None = None,
) -> EstimatedResult:
    """Return what the confidences of a period foretell.

    Intervals are those of as many labelled rows as n m / (n + m), with n the rows of the period and m those on
    which the calibration was fitted: both are samples.
    """
    is_binary = calibration.subject == SECOND_CLASS
    base = 0 if is_binary else SURE_BASE
    inside = (sure.numbers >= base) & (sure.numbers < base + SCORE_BINS)
    bins, counts = sure.numbers[inside] - base, sure.counts[inside]
    samples = int(counts.sum())
    if samples < min_samples:
        reason = "not enough data" if samples else "no data"
        return EstimatedResult(
            samples=samples, reason=reason, expected=expected, realised=realised, label_coverage=label_coverage
        )
    scale = calibration.rows / (samples + calibration.rows)
    chances = calibration.apply(bin_centres(bins))
    found = _two_classes(bins, counts, chances, scale) if is_binary else {"accuracy": _mean(counts, chances, scale)}
    accuracy = found["accuracy"]
    return EstimatedResult(
        samples=samples,
        accuracy=accuracy,
        precision=found.get("precision"),
        recall=found.get("recall"),
        f1=found.get("f1"),
        roc_auc=found.get("roc_auc"),
        expected=expected,
        drop=None if expected is None or accuracy.value is None else expected - accuracy.value,
        realised=realised,
        label_coverage=label_coverage,
    )


def _mean(counts: Array, chances: Array, scale: float) -> Estimate:
    return _share(float((counts * chances).sum()), float(counts.sum()), scale)


def _two_classes(bins: Array, counts: Array, chances: Array, scale: float) -> dict[str, Estimate]:
    """Return the measures from expected counts; the second class is said where its score is above one half."""
    positives, negatives = counts * chances, counts * (1 - chances)
    said = bins >= SCORE_BINS // 2
    tp, fp = float(positives[said].sum()), float(negatives[said].sum())
    fn, tn = float(positives[~said].sum()), float(negatives[~said].sum())
    return {
        "accuracy": _share(tp + tn, tp + fp + fn + tn, scale),
        "precision": _share(tp, tp + fp, scale),
        "recall": _share(tp, tp + fn, scale),
        "f1": f1_of(tp * scale, fp * scale, fn * scale),
        "roc_auc": auc_of(positives * scale, negatives * scale),
    }


def _share(part: float, whole: float, scale: float) -> Estimate:
    return share(part * scale, whole * scale)


def no_estimate(
    reason: str, *, expected: float | None, realised: Estimate, label_coverage: float | None
) -> EstimatedResult:
    """Return the result of a version whose artifact has no calibration."""
    return EstimatedResult(
        samples=0, reason=reason, expected=expected, realised=realised, label_coverage=label_coverage
    )
