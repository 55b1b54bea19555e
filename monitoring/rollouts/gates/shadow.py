"""Gate 3: copies of live requests, answered by the challenger and compared, never returned.

Errors are tested at every look, so a challenger that fails does not stay for the whole time. Only requests
that the champion answered are copied, so its share of errors among them is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aiplatform.latency_buckets import quantile_ms
from monitoring.rollouts.gates.finding import Finding, missing, percent
from monitoring.rollouts.policy import Policy
from monitoring.rollouts.sequential import Arm, log_evidence_of_harm
from monitoring.rollouts.vocabulary import Verdict


@dataclass(frozen=True, kw_only=True)
class Shadowed:
    """All that the processes counted of one shadow; latencies are counts by bucket."""

    requests: int = 0
    errors: int = 0
    dropped: int = 0
    labelled_rows: int = 0
    agreed_rows: int = 0
    valued_rows: int = 0
    difference_sum: float = 0.0
    champion_latencies: tuple[int, ...] = ()
    challenger_latencies: tuple[int, ...] = ()
    last_error: str = ""

    @property
    def agreement(self) -> float | None:
        """Return the share of equal labels; None without any."""
        return self.agreed_rows / self.labelled_rows if self.labelled_rows else None


def judge_shadow(seen: Shadowed, policy: Policy, *, elapsed_s: float, is_truth_known: bool) -> Finding:
    """Judge what has been compared so far; `is_truth_known`: labels have already said who is right."""
    evidence = _evidence(seen)
    harm = log_evidence_of_harm(
        Arm(trials=seen.requests, hits=0), Arm(trials=seen.requests, hits=seen.errors), margin=policy.error_margin
    )
    if seen.requests and harm >= math.log(1 / policy.alpha):
        text = f"{seen.errors} of {seen.requests} copies failed: {seen.last_error}"
        return Finding(verdict=Verdict.FAIL, text=text[:1000], evidence=evidence)
    if seen.requests < policy.shadow_requests:
        text = missing(seen.requests, policy.shadow_requests, "compared requests")
        return Finding(verdict=Verdict.NOT_ENOUGH_DATA, text=text, evidence=evidence)
    if elapsed_s < policy.shadow_s:
        text = f"{seen.requests} compared, {policy.shadow_s - elapsed_s:.0f} s to go"
        return Finding(verdict=Verdict.GO_ON, text=text, evidence=evidence)
    if not is_truth_known and seen.agreement is not None and seen.agreement < policy.min_agreement:
        share = percent(seen.agreement)
        text = f"only {share} of the answers agree with the champion's ({policy.min_agreement:.0%} asked)"
        return Finding(verdict=Verdict.FAIL, text=text, evidence=evidence)
    agreed = f", {percent(seen.agreement)} agree" if seen.agreement is not None else ""
    text = f"{seen.requests} compared, {seen.errors} errors{agreed}, {seen.dropped} copies dropped"
    return Finding(verdict=Verdict.PASS, text=text, evidence=evidence)


def _evidence(seen: Shadowed) -> dict[str, object]:
    return {
        "requests": seen.requests,
        "errors": seen.errors,
        "dropped": seen.dropped,
        "agreement": seen.agreement,
        "mean_difference": seen.difference_sum / seen.valued_rows if seen.valued_rows else None,
        "champion_p95_ms": quantile_ms(seen.champion_latencies, 0.95),
        "challenger_p95_ms": quantile_ms(seen.challenger_latencies, 0.95),
        "last_error": seen.last_error,
    }
