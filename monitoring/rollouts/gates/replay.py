"""Gate 2: the last recorded requests, run through both versions: errors, latency, accuracy or agreement.

Both answered the same requests, so shares are compared directly; only accuracy, on the labelled ones, needs
a test. Where labels say who is right, agreement with the champion is told and does not decide: a
challenger that learnt from new data is meant to disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiplatform.contracts.inference import ReplayAnswer, ReplayedVersion
from monitoring.rollouts.gates.finding import Finding, percent
from monitoring.rollouts.policy import Policy
from monitoring.rollouts.sequential import Arm, log_evidence_of_harm
from monitoring.rollouts.vocabulary import Verdict

LEAST_SLOWER_MS = 2.0  # a smaller difference of p95 is the machine's noise
COLD_CALLS = 5  # not timed


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay says of the two. Arms count errors, and wrong answers to labelled requests."""

    requests: int
    champion_errors: Arm
    challenger_errors: Arm
    champion_wrong: Arm
    challenger_wrong: Arm
    compared: int
    agreed: int
    mean_difference: float | None
    champion_p95_ms: float | None
    challenger_p95_ms: float | None


def compare_replay(champion: ReplayedVersion, challenger: ReplayedVersion, truths: Mapping[str, str]) -> Replayed:
    """Count how two versions answered the same requests; `truths` are labels by the request's id."""
    pairs = list(zip(champion.answers, challenger.answers, strict=True))
    both = [(mine, theirs) for mine, theirs in pairs if _is_answered(mine) and _is_answered(theirs)]
    labelled = [(m, t) for m, t in both if m.labels and t.labels]
    valued = [(m, t) for m, t in both if m.values and t.values]
    gaps = [abs(a - b) for m, t in valued for a, b in zip(m.values, t.values, strict=False)]
    known = [(m, t, truths[m.prediction_id]) for m, t in labelled if m.prediction_id in truths]
    return Replayed(
        requests=len(pairs),
        champion_errors=_errors([m for m, _ in pairs]),
        challenger_errors=_errors([t for _, t in pairs]),
        champion_wrong=Arm(trials=len(known), hits=sum(m.labels[0] != truth for m, _, truth in known)),
        challenger_wrong=Arm(trials=len(known), hits=sum(t.labels[0] != truth for _, t, truth in known)),
        compared=len(labelled),
        agreed=sum(m.labels == t.labels for m, t in labelled),
        mean_difference=sum(gaps) / len(gaps) if gaps else None,
        champion_p95_ms=_p95([m for m, _ in both]),
        challenger_p95_ms=_p95([t for _, t in both]),
    )


def judge_replay(seen: Replayed, policy: Policy) -> Finding:
    """Judge what was compared."""
    evidence = _evidence(seen)
    problem = _error_problem(seen, policy) or _latency_problem(seen, policy) or _truth_problem(seen, policy)
    if problem:
        return Finding(verdict=Verdict.FAIL, text=problem, evidence=evidence)
    parts = [f"{seen.requests} requests, {seen.challenger_errors.hits} errors"]
    if seen.compared:
        parts.append(f"{percent(seen.agreed / seen.compared)} of the answers agree")
    if has_truth(seen, policy):
        right = 1 - (seen.challenger_wrong.share or 0.0)
        parts.append(f"{percent(right)} right, the champion {percent(1 - (seen.champion_wrong.share or 0.0))}")
    return Finding(verdict=Verdict.PASS, text=", ".join(parts), evidence=evidence)


def has_truth(seen: Replayed, policy: Policy) -> bool:
    """Say whether enough requests were labelled to speak of accuracy."""
    return seen.challenger_wrong.trials >= max(1, policy.min_labels)


def _error_problem(seen: Replayed, policy: Policy) -> str:
    mine, theirs = seen.champion_errors.share or 0.0, seen.challenger_errors.share or 0.0
    if theirs <= mine + policy.error_margin:
        return ""
    return f"{percent(theirs)} of the requests failed, with the champion {percent(mine)}"


def _latency_problem(seen: Replayed, policy: Policy) -> str:
    mine, theirs = seen.champion_p95_ms, seen.challenger_p95_ms
    if mine is None or theirs is None or theirs - mine < LEAST_SLOWER_MS or theirs <= mine * policy.max_latency_ratio:
        return ""
    return f"p95 is {theirs:.3g} ms, more than {policy.max_latency_ratio:g} times the champion's {mine:.3g} ms"


def _truth_problem(seen: Replayed, policy: Policy) -> str:
    if has_truth(seen, policy):
        harm = log_evidence_of_harm(seen.champion_wrong, seen.challenger_wrong, margin=policy.accuracy_margin)
        if harm < math.log(1 / policy.alpha):
            return ""
        mine, theirs = seen.champion_wrong.share, seen.challenger_wrong.share
        return f"{percent(theirs)} of {seen.challenger_wrong.trials} labelled answers are wrong, {percent(mine)} before"
    if not seen.compared or seen.agreed / seen.compared >= policy.min_agreement:
        return ""
    agreement = percent(seen.agreed / seen.compared)
    return f"only {agreement} of the answers agree with the champion's, and too few are labelled to say who is right"


def _errors(answers: Sequence[ReplayAnswer]) -> Arm:
    return Arm(trials=len(answers), hits=sum(not _is_answered(answer) for answer in answers))


def _is_answered(answer: ReplayAnswer) -> bool:
    return answer.http_status < 400


def _p95(answers: Sequence[ReplayAnswer]) -> float | None:
    latencies = sorted(answer.latency_ms for answer in answers[COLD_CALLS:])
    return latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))] if latencies else None


def _evidence(seen: Replayed) -> dict[str, object]:
    return {
        "requests": seen.requests,
        "champion_errors": seen.champion_errors.hits,
        "challenger_errors": seen.challenger_errors.hits,
        "compared": seen.compared,
        "agreed": seen.agreed,
        "mean_difference": seen.mean_difference,
        "labelled": seen.challenger_wrong.trials,
        "champion_wrong": seen.champion_wrong.hits,
        "challenger_wrong": seen.challenger_wrong.hits,
        "champion_p95_ms": seen.champion_p95_ms,
        "challenger_p95_ms": seen.challenger_p95_ms,
    }
