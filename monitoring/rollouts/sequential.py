"""A two-sample test of shares that may be looked at as often as one likes.

The question is whether the challenger's share of bad events (errors, slow answers, wrong labels) exceeds the
champion's by more than a margin. Each arm's likelihood is averaged over a Beta(1/2, 1/2) prior (the
mixture of a mixture SPRT), and the product of both is divided by the largest likelihood that any pair of
shares has under the null hypothesis:

    E = m(k1, n1) m(k2, n2) / sup { p1^k1 (1-p1)^(n1-k1) p2^k2 (1-p2)^(n2-k2) : p2 <= p1 + margin }
    m(k, n) = B(k + 1/2, n - k + 1/2) / B(1/2, 1/2)

For the true pair of shares the ratio is a non-negative martingale that begins at 1, however the two arms
take turns and whenever one looks; E is no greater. So by Ville's inequality the probability that E ever
reaches 1/alpha under the null is at most alpha: exact for every sample size, with no correction for looking.

Losses from 0 to 1 (an absolute error, divided by a bound and cut off there) are tested in the same way, with k
their sum. (q/p)^x ((1-q)/(1-p))^(1-x) is convex in x, so its mean for a loss x of mean p is no greater than that
of an event of probability p, which is 1: the ratio for the true pair of means is then a non-negative
supermartingale, and Ville's inequality holds as before, whatever the losses' distribution. The price: losses that
vary less than events of the same mean need more of them than a test that knew it.

Sources: Robbins, Ann. Math. Stat. 41 (1970), the method of mixtures; Wasserman, Ramdas and Balakrishnan,
PNAS 117 (2020), the ratio to the maximum under the null; Johari et al., Operations Research 70 (2022), the
mixture SPRT in experiments that are watched; Hoeffding, JASA 58 (1963), the convexity; Waudby-Smith and Ramdas,
JRSS B 86 (2024), supermartingales for means of bounded variables; Krichevsky and Trofimov, IEEE Trans. Inf.
Theory 27 (1981), the prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What was seen of one version: `hits` bad events in `trials`, or the sum of as many losses from 0 to 1."""

    trials: int
    hits: float

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.trials:
            raise ValueError(f"hits must be from 0 to trials, not {self.hits} of {self.trials}")

    @property
    def share(self) -> float | None:
        """Return the share of bad events; None without trials."""
        return self.hits / self.trials if self.trials else None


def log_evidence_of_harm(champion: Arm, challenger: Arm, *, margin: float = 0.0) -> float:
    """Return log E against 'the challenger's share is at most the champion's plus the margin'."""
    return _log_mixture(champion) + _log_mixture(challenger) - _log_sup(champion, challenger, margin, is_harmless=True)


def log_evidence_of_safety(champion: Arm, challenger: Arm, *, margin: float) -> float:
    """Return log E against 'the challenger's share is at least the champion's plus the margin'."""
    return _log_mixture(champion) + _log_mixture(challenger) - _log_sup(champion, challenger, margin, is_harmless=False)


def _log_mixture(arm: Arm) -> float:
    return _log_beta(arm.hits + 0.5, arm.trials - arm.hits + 0.5) - _log_beta(0.5, 0.5)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_sup(champion: Arm, challenger: Arm, margin: float, *, is_harmless: bool) -> float:
    """Return the greatest log-likelihood under p2 <= p1 + margin, or under p2 >= p1 + margin."""
    if not champion.trials or not challenger.trials:
        return _log_peak(champion) + _log_peak(challenger)  # one free share always fits the other
    difference = challenger.hits / challenger.trials - champion.hits / champion.trials
    if (difference <= margin) is is_harmless or difference == margin:
        return _log_peak(champion) + _log_peak(challenger)
    p = _boundary_peak(champion, challenger, margin)
    return _log_likelihood(champion, p) + _log_likelihood(challenger, p + margin)


def _log_peak(arm: Arm) -> float:
    return _log_likelihood(arm, arm.hits / arm.trials) if arm.trials else 0.0


def _boundary_peak(champion: Arm, challenger: Arm, margin: float) -> float:
    """Return the p in [0, 1 - margin] at which p and p + margin are likeliest; the slope falls all the way."""
    low, high = 0.0, 1.0 - margin
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slope = _slope(champion, middle) + _slope(challenger, middle + margin)
        low, high = (middle, high) if slope > 0 else (low, middle)
    return (low + high) / 2


def _slope(arm: Arm, p: float) -> float:
    up = arm.hits / p if arm.hits else 0.0
    down = (arm.trials - arm.hits) / (1 - p) if arm.trials > arm.hits else 0.0
    return up - down


def _log_likelihood(arm: Arm, p: float) -> float:
    misses = arm.trials - arm.hits
    likelihood = arm.hits * math.log(max(p, 1e-300)) if arm.hits else 0.0
    return likelihood + (misses * math.log(max(1 - p, 1e-300)) if misses else 0.0)
