"""From scores to decisions: the threshold that costs least, and whom the decisions hit.

`positive` is what a decision is about (a bad credit, a disease). A miss is a positive row that is let pass; an alarm
is a negative row that is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.data.dataset import Array


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a miss and a false alarm cost, in any unit."""

    miss: float
    alarm: float


@dataclass(frozen=True, kw_only=True)
class GroupRates:
    """How the decisions are in one group. `sensitivity` and `alarms` are shares of its positives and its negatives."""

    group: str
    rows: int
    positives: float
    flagged: float
    sensitivity: float
    alarms: float


def cost_of(scores: Array, is_positive: Array, threshold: float, costs: Costs) -> float:
    """Return the mean cost of a row if those with a score of the threshold or more are flagged."""
    is_flagged = scores >= threshold
    misses, alarms = (is_positive & ~is_flagged).sum(), (~is_positive & is_flagged).sum()
    return float((costs.miss * misses + costs.alarm * alarms) / len(scores))


def choose_threshold(scores: Array, is_positive: Array, costs: Costs) -> float:
    """Return the score from which flagging costs least on these rows, the lowest of equals; infinite: never flag."""
    order = np.argsort(-scores, kind="stable")
    flagged = np.arange(len(scores) + 1)  # the surest k rows are flagged
    hits = np.concatenate([[0], np.cumsum(is_positive[order])])
    total = costs.miss * (is_positive.sum() - hits) + costs.alarm * (flagged - hits)
    ordered = scores[order]
    is_cut = np.concatenate([[True], np.append(ordered[1:] < ordered[:-1], True)])  # rows of one score stay together
    total = np.where(is_cut, total, np.inf)
    best = int(len(total) - 1 - np.argmin(total[::-1]))
    return float(ordered[best - 1]) if best else float("inf")


def thresholds_by_fold(scores: Array, is_positive: Array, fold: Array, costs: Costs) -> Array:
    """Return each row's threshold, shape (n,), chosen on the rows of the other folds: none decides for itself."""
    chosen = np.empty(len(scores))
    for number in np.unique(fold):
        others = fold != number
        chosen[~others] = choose_threshold(scores[others], is_positive[others], costs)
    return chosen


def sensitivity_specificity(is_flagged: Array, is_positive: Array) -> tuple[float, float]:
    """Return the share of positives that are flagged, and of negatives that are not; NaN where there are none."""
    return _share(is_flagged, is_positive), _share(~is_flagged, ~is_positive)


def rates_by_group(is_flagged: Array, is_positive: Array, groups: Array) -> list[GroupRates]:
    """Return the rates of each group, by name. Shapes: all (n,)."""
    names = groups.astype(str)
    found = []
    for name in np.unique(names):
        mine = names == name
        found.append(
            GroupRates(
                group=str(name),
                rows=int(mine.sum()),
                positives=_share(is_positive, mine),
                flagged=_share(is_flagged, mine),
                sensitivity=_share(is_flagged, mine & is_positive),
                alarms=_share(is_flagged, mine & ~is_positive),
            )
        )
    return found


def parity_gaps(rates: list[GroupRates], *, least_rows: int = 30) -> dict[str, float]:
    """Return the greatest gaps between groups of enough rows: of the flagged, and of sensitivity and alarms.

    Source: Hardt, Price and Srebro, Equality of Opportunity in Supervised Learning (2016): demographic parity,
    equalised odds.
    """
    large = [r for r in rates if r.rows >= least_rows]
    gaps = {name: _gap([getattr(r, name) for r in large]) for name in ("flagged", "sensitivity", "alarms")}
    return {
        "demographic_parity_difference": gaps["flagged"],
        "equalised_odds_difference": max(gaps["sensitivity"], gaps["alarms"]),
    }


def expected_calibration_error(probabilities: Array, is_positive: Array, *, bins: int = 10) -> float:
    """Return how far the stated probabilities are from the shares that came true, over bins of equal width.

    Source: Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities (AAAI 2015).
    """
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gap = 0.0
    for number in np.unique(place):
        mine = place == number
        gap += float(mine.mean()) * abs(float(probabilities[mine].mean()) - float(is_positive[mine].mean()))
    return gap


def _share(is_so: Array, among: Array) -> float:
    return float(is_so[among].mean()) if among.any() else float("nan")


def _gap(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return max(known) - min(known) if known else 0.0
