"""`train cross-validate`: folds, their spread, and what a decision by the scores costs whom."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from training.cross_validation import CrossValidation, cross_validate
from training.data.table import tensor_name
from training.decisions import (
    Costs,
    cost_of,
    expected_calibration_error,
    parity_gaps,
    rates_by_group,
    sensitivity_specificity,
    thresholds_by_fold,
)
from training.recipes.api import TrainingOrder


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked beside the metrics; `positive` is the class that decisions are about, empty: none are made."""

    folds: int
    positive: str
    costs: Costs
    groups: tuple[str, ...]


class Silent:
    """A reporter for work that is watched fold by fold only."""

    def __init__(self, tell: Any) -> None:
        self._tell = tell

    def describe_data(self, sources: Sequence[Mapping[str, Any]]) -> None:
        """Say nothing."""

    def begin(self, *, epochs: int, steps_per_epoch: int, rows_per_epoch: int = 0) -> None:
        """Say nothing."""

    def step(self, *, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Say nothing."""

    def end_epoch(self, *, epoch: int, metrics: Mapping[str, float]) -> None:
        """Say nothing."""

    def log(self, message: str) -> None:
        """Tell it."""
        self._tell(message)


def parse_costs(text: str) -> Costs:
    """Return the costs of MISS:ALARM.

    Raises: InvalidInputError if they are not two numbers above 0.
    """
    miss, _, alarm = text.partition(":")
    try:
        costs = Costs(miss=float(miss), alarm=float(alarm))
    except ValueError:
        costs = Costs(miss=0.0, alarm=0.0)
    if not (0 < costs.miss < float("inf") and 0 < costs.alarm < float("inf")):
        raise InvalidInputError(f"--costs must be MISS:ALARM, two numbers above 0 such as 5:1, not '{text}'")
    return costs


def answer(order: dict[str, Any], question: Question, tell: Any) -> dict[str, Any]:
    """Train and return all figures, ready for JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow: warnings, not what processor it found
    with tempfile.TemporaryDirectory() as folder:
        found = cross_validate(TrainingOrder(**order, work_dir=Path(folder)), Silent(tell), folds=question.folds)
    names = sorted(found.metrics[0])
    spread = {name: dict(zip(("mean", "deviation"), found.spread(name), strict=True)) for name in names}
    figures: dict[str, Any] = {"folds": list(found.metrics), "metrics": spread}
    if question.positive:
        figures["decision"] = _decide(found, question)
    return figures


def _decide(found: CrossValidation, question: Question) -> dict[str, Any]:
    if question.positive not in found.labels:
        raise InvalidInputError(
            f"--positive must be one of {', '.join(found.labels) or 'none'}, not '{question.positive}'"
        )
    place = found.labels.index(question.positive)
    scores, is_positive = found.outputs[:, place].astype(float), found.truth == place
    thresholds = thresholds_by_fold(scores, is_positive, found.fold, question.costs)
    is_flagged = scores >= thresholds
    sensitivity, specificity = sensitivity_specificity(is_flagged, is_positive)
    half = cost_of(scores, is_positive, 0.5, question.costs)
    costs = question.costs
    return {
        "positive": question.positive,
        "costs": asdict(costs),
        "thresholds": np.unique(thresholds.round(4)).tolist(),
        "cost": cost_of(is_flagged.astype(float), is_positive, 0.5, costs),
        "cost_at_half": half,
        "cost_of_none": float(costs.miss * is_positive.mean()),
        "cost_of_all": float(costs.alarm * (~is_positive).mean()),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "calibration_error": expected_calibration_error(scores, is_positive),
        "groups": {name: _groups(found, name, is_flagged, is_positive) for name in question.groups},
    }


def _groups(found: CrossValidation, column: str, is_flagged: Any, is_positive: Any) -> dict[str, Any]:
    values = found.inputs.get(tensor_name(column))
    if values is None:
        raise InvalidInputError(f"--group: there is no column '{column}'; there are {', '.join(found.inputs)}")
    flat = values.reshape(len(values))
    if flat.dtype.kind == "f":  # a number: below its middle, or not
        middle = float(np.nanmedian(flat))
        flat = np.where(flat < middle, f"below {middle:g}", f"{middle:g} and more")
    rates = rates_by_group(is_flagged, is_positive, flat)
    return {"rates": [asdict(rate) for rate in rates], **parity_gaps(rates)}


def lines_of(figures: dict[str, Any]) -> list[str]:
    """Return the figures as lines for people."""
    lines = [
        f"{name:<12} {found['mean']:.4f} ± {found['deviation']:.4f}   "
        + "  ".join(f"{fold[name]:.4f}" for fold in figures["folds"])
        for name, found in figures["metrics"].items()
    ]
    decision = figures.get("decision")
    if decision is None:
        return lines
    costs = decision["costs"]
    lines += [
        f"'{decision['positive']}' is flagged from {', '.join(map(str, decision['thresholds']))} on "
        f"(a miss costs {costs['miss']:g}, an alarm {costs['alarm']:g})",
        f"cost a row {decision['cost']:.4f}; from 0.5 on {decision['cost_at_half']:.4f}, "
        f"none flagged {decision['cost_of_none']:.4f}, all flagged {decision['cost_of_all']:.4f}",
        f"sensitivity {decision['sensitivity']:.4f}, specificity {decision['specificity']:.4f}, "
        f"calibration error {decision['calibration_error']:.4f}",
    ]
    for name, group in decision["groups"].items():
        lines.append(
            f"by {name}: demographic parity difference {group['demographic_parity_difference']:.4f}, "
            f"equalised odds difference {group['equalised_odds_difference']:.4f} (groups of 30 rows and more)"
        )
        lines += [
            f"    {rate['group']:<24} {rate['rows']:>6} rows  {rate['positives']:.3f} positive  {rate['flagged']:.3f} "
            f"flagged  sensitivity {rate['sensitivity']:.3f}  alarms {rate['alarms']:.3f}"
            for rate in group["rates"]
        ]
    return lines
