"""Gate 4: real requests, a growing share of them; tested at every look for errors, slow and wrong answers, and
for numbers that are further from the truth.

Four tests in each of the steps share alpha evenly (Bonferroni), so the whole canary turns an equal challenger
away with a probability of at most alpha. A step passes when it has lasted, has its least number of requests,
and no test has found harm; what is proven beyond that (that the difference is below the margin) is told.
At 100% no request goes to the champion: its arm is what it did in the steps before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from monitoring.rollouts.gates.finding import Finding, missing, percent
from monitoring.rollouts.policy import Policy
from monitoring.rollouts.sequential import Arm, log_evidence_of_harm, log_evidence_of_safety
from monitoring.rollouts.vocabulary import Verdict

TESTS = 4


@dataclass(frozen=True, kw_only=True)
class VersionCounts:
    """What one version did since a step began."""

    requests: int = 0
    errors: int = 0
    answered: int = 0  # requests whose latency is known
    slow: int = 0
    labelled: int = 0
    wrong: int = 0
    valued: int = 0  # numbers whose truth is known
    loss: float = 0.0  # the sum of their absolute errors, each divided by the step's scale and at most 1

    def __add__(self, other: VersionCounts) -> VersionCounts:
        mine, theirs = asdict(self), asdict(other)
        return VersionCounts(**{name: mine[name] + theirs[name] for name in mine})

    def since(self, before: VersionCounts) -> VersionCounts:
        """Return what was added; sketches and late corrections may take back a little, never below none."""
        mine, theirs = asdict(self), asdict(before)
        grown = {name: max(0, mine[name] - theirs[name]) for name in mine}
        grown["errors"] = min(grown["errors"], grown["requests"])
        grown["slow"] = min(grown["slow"], grown["answered"])
        grown["wrong"] = min(grown["wrong"], grown["labelled"])
        grown["loss"] = min(grown["loss"], grown["valued"])
        return VersionCounts(**grown)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> VersionCounts:
        """Return what JSON kept."""
        return cls(**{name: type(none)(values.get(name, none)) for name, none in asdict(cls()).items()})


@dataclass(frozen=True, kw_only=True)
class CanaryTest:
    """One test: the bad events that it counts, in both arms, and how much more is allowed.

    With a `unit` the arms sum losses, of which 1 is that many units of the model's answer.
    """

    name: str
    champion: Arm
    challenger: Arm
    margin: float
    least: int
    unit: float | None = None

    def told(self, arm: Arm) -> str:
        """Return what an arm shows: a share, or a mean error in the model's own unit."""
        return self._in_words(arm.share)

    @property
    def told_limit(self) -> str:
        """Return what the challenger may show beside this champion, in the same words."""
        return self._in_words(min(1.0, (self.champion.share or 0.0) + self.margin))

    def _in_words(self, share: float | None) -> str:
        return percent(share) if self.unit is None or share is None else f"{share * self.unit:.3g}"

    @property
    def is_informed(self) -> bool:
        """Say whether both arms have enough to be spoken of."""
        return min(self.champion.trials, self.challenger.trials) >= self.least


def judge_canary(
    champion: VersionCounts,
    challenger: VersionCounts,
    policy: Policy,
    *,
    elapsed_s: float,
    loss_scale: float | None = None,
) -> Finding:
    """Judge a canary step by what both versions did in it so far; `loss_scale`: the error that is a loss of 1."""
    limit = math.log(TESTS * len(policy.steps) / policy.alpha)
    tests = canary_tests(champion, challenger, policy, loss_scale=loss_scale)
    evidence = {"limit": limit, "tests": [_told(test) for test in tests]}
    for test in tests:
        if test.is_informed and log_evidence_of_harm(test.champion, test.challenger, margin=test.margin) >= limit:
            text = (
                f"{test.name}: {test.told(test.challenger)} of {test.challenger.trials}, the champion's "
                f"{test.told(test.champion)} of {test.champion.trials}"
            )
            return Finding(verdict=Verdict.FAIL, text=text, evidence=evidence)
    if challenger.requests < policy.min_samples:
        text = missing(challenger.requests, policy.min_samples, "requests to the challenger")
        if not challenger.requests and champion.requests >= policy.min_samples:
            text += "; each caller stays with one version and none of these has got this one: a routing key splits them"
        return Finding(verdict=Verdict.NOT_ENOUGH_DATA, text=text, evidence=evidence)
    if elapsed_s < policy.step_s:
        text = f"no harm found in {challenger.requests} requests; {policy.step_s - elapsed_s:.0f} s to go"
        return Finding(verdict=Verdict.GO_ON, text=text, evidence=evidence)
    return Finding(verdict=Verdict.PASS, text=_passed(tests, challenger), evidence=evidence)


def canary_tests(
    champion: VersionCounts, challenger: VersionCounts, policy: Policy, *, loss_scale: float | None = None
) -> list[CanaryTest]:
    """Return the tests of a step."""
    return [
        CanaryTest(
            name="errors", least=1, margin=policy.error_margin,
            champion=Arm(trials=champion.requests, hits=champion.errors),
            challenger=Arm(trials=challenger.requests, hits=challenger.errors),
        ),
        CanaryTest(
            name="slow answers", least=1, margin=policy.latency_margin,
            champion=Arm(trials=champion.answered, hits=champion.slow),
            challenger=Arm(trials=challenger.answered, hits=challenger.slow),
        ),
        CanaryTest(
            name="wrong answers", least=max(1, policy.min_labels), margin=policy.accuracy_margin,
            champion=Arm(trials=champion.labelled, hits=champion.wrong),
            challenger=Arm(trials=challenger.labelled, hits=challenger.wrong),
        ),
        CanaryTest(
            name="mean error", least=max(1, policy.min_labels), margin=policy.accuracy_margin, unit=loss_scale,
            champion=Arm(trials=champion.valued, hits=champion.loss),
            challenger=Arm(trials=challenger.valued, hits=challenger.loss),
        ),
    ]  # fmt: skip


def _passed(tests: list[CanaryTest], challenger: VersionCounts) -> str:
    """Return the shares beside the champion's: alone, a good challenger on hard data would read like a bad one."""
    parts = [f"{test.name} {test.told(test.challenger)} ({_beside(test)})" for test in tests if test.is_informed]
    if not any(test.is_informed for test in tests[2:]):
        parts.append("too few labels to speak of accuracy")
    return f"no harm found in {challenger.requests} requests: {', '.join(parts)}"


def _beside(test: CanaryTest) -> str:
    """Return what the champion shows, and where that is less, how much is no harm by the policy."""
    text = f"the champion's {test.told(test.champion)}"
    if (test.challenger.share or 0) <= (test.champion.share or 0):
        return text
    return f"{text}; the policy allows {test.told_limit}"


def _told(test: CanaryTest) -> dict[str, Any]:
    return {
        "name": test.name,
        "margin": test.margin,
        "is_informed": test.is_informed,
        "champion": {"trials": test.champion.trials, "hits": test.champion.hits, "share": test.champion.share},
        "challenger": {"trials": test.challenger.trials, "hits": test.challenger.hits, "share": test.challenger.share},
        "harm": log_evidence_of_harm(test.champion, test.challenger, margin=test.margin),
        "safety": log_evidence_of_safety(test.champion, test.challenger, margin=test.margin),
    }
