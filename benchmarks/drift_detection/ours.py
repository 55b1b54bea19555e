"""Our verdicts at the default settings: what monitoring computes of the same rows, without its database."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.embeddings import embedding_columns
from aiplatform.profiles import DataProfile
from aiplatform.scores import encode_scores
from benchmarks.drift_detection.scenarios import Array, Rows, Scenario
from monitoring.accuracy import wilson_interval
from monitoring.drift.mmd import LEAST_SIGNIFICANCE, run_mmd_test
from monitoring.drift.results import DriftLimits, Verdict
from monitoring.drift.table import compare_profiles
from monitoring.performance.detectors.stream import Stream, WindowValue
from monitoring.performance.estimation import estimate_performance
from monitoring.performance.observed import bin_confidences, bin_scores, sum_numbers
from training.calibrating import fit_calibration

MAX_DROP = 0.05  # ACCURACY_MAX_DROP


def judge(scenario: Scenario, limits: DriftLimits) -> dict[str, list[bool]]:
    """Return for each method whether it speaks of a change in each window.

    data: the features' drift; dataset: half the features drifted; prediction: labels or confidences drifted;
    estimate: the estimated accuracy lies surely more than MAX_DROP below that of the reference;
    realised: the same of the realised accuracy, all labels known at once;
    embedding: a dimension of the embedding drifted; vectors: the maximum mean discrepancy of whole embeddings;
    adwin, page_hinkley: on any feature's mean; accuracy_...: on the realised accuracy.
    """
    baseline = _profile(scenario.reference)
    calibration = fit_calibration(scenario.reference.probabilities, scenario.reference.truth)
    assert calibration is not None
    streams: dict[str, Stream] = {}
    found: dict[str, list[bool]] = {}
    for window in scenario.windows:
        table = compare_profiles(baseline, _profile(window), limits)
        said = {
            "data": any(column.verdict is Verdict.DRIFTED for column in table.features),
            "dataset": table.dataset_verdict is Verdict.DRIFTED,
            "prediction": any(column.verdict is Verdict.DRIFTED for column in table.predictions),
        }
        if scenario.reference.embedding is not None and window.embedding is not None:
            said["embedding"] = any(column.verdict is Verdict.DRIFTED for column in table.embedding)
            test = run_mmd_test(scenario.reference.embedding, window.embedding, significance=LEAST_SIGNIFICANCE)
            said["vectors"] = test.verdict is Verdict.DRIFTED
        estimate = estimate_performance(_sure(window), calibration, expected=calibration.accuracy, min_samples=100)
        said["estimate"] = (estimate.accuracy.high or 1.0) < calibration.accuracy - MAX_DROP
        said["realised"] = _realised(window) < calibration.accuracy - MAX_DROP
        said |= _changes(streams, window)
        for method, is_alarm in said.items():
            found.setdefault(method, []).append(is_alarm)
    return found


def _realised(rows: Rows) -> float:
    """Return the upper end of the realised accuracy's interval."""
    right = int((rows.probabilities.argmax(axis=1) == rows.truth).sum())
    return wilson_interval(right, len(rows.truth))[1]


def _profile(rows: Rows) -> DataProfile:
    profile = DataProfile()
    labels = np.array([str(i) for i in rows.probabilities.argmax(axis=1)], dtype=object)
    dimensions = {} if rows.embedding is None else embedding_columns(rows.embedding)
    profile.update(rows.features, {"label": labels, "confidence": rows.probabilities.max(axis=1), **dimensions})
    return profile


def _sure(rows: Rows) -> Any:
    codes = encode_scores(rows.probabilities)
    if codes is not None and codes.shape[1] == 1:
        return bin_scores(codes[:, 0])
    return bin_confidences(rows.probabilities.max(axis=1))


def _changes(streams: dict[str, Stream], window: Rows) -> dict[str, bool]:
    seen = dict.fromkeys(("adwin", "page_hinkley", "accuracy_adwin", "accuracy_page_hinkley"), False)
    everything: Array = np.ones(len(window.truth), bool)
    numbers = {name: column for name, column in window.features.items() if column.dtype.kind == "f"}
    values = sum_numbers(numbers, everything)
    right = float((window.probabilities.argmax(axis=1) == window.truth).sum())
    values["accuracy"] = WindowValue(len(window.truth), right, right)
    for name, value in values.items():
        stream = streams.setdefault(name, Stream(is_share=name == "accuracy"))
        prefix = "accuracy_" if name == "accuracy" else ""
        for detector in stream.update(value):
            seen[prefix + detector] = True
    return seen
