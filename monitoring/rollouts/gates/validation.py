"""Gate 1: the metric on the trainer's held-out data is not worse than the champion's by more than a margin.

The two may have been measured on different data (a retrained version has a test set of its own), so the
margin is a sanity check, and what was asked of both on the same requests comes in the gates after it.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitoring.rollouts.gates.finding import Finding
from monitoring.rollouts.policy import Policy
from monitoring.rollouts.vocabulary import Verdict

# In the order in which one is chosen; True: more is better.
DIRECTIONS = {
    "accuracy": True, "roc_auc": True, "auc": True, "f1": True, "precision": True, "recall": True, "r2": True,
    "rmse": False, "mae": False, "mse": False, "mean_absolute_error": False, "log_loss": False, "loss": False,
    "cross_entropy": False, "ece": False,
}  # fmt: skip


def judge_validation(champion: Mapping[str, float], challenger: Mapping[str, float], policy: Policy) -> Finding:
    """Compare the metric that the policy names, else the first known one that both have."""
    name = _choose(champion, challenger, policy)
    if name is None:
        return Finding(
            verdict=Verdict.SKIP,
            text="the two versions have no metric in common; the other gates decide",
            evidence={"champion": dict(champion), "challenger": dict(challenger)},
        )
    is_more_better = DIRECTIONS.get(name.removeprefix("val_"), True)
    mine, theirs = champion[name], challenger[name]
    loss = mine - theirs if is_more_better else theirs - mine
    verdict = Verdict.PASS if loss <= policy.validation_margin else Verdict.FAIL
    relation = "within" if verdict is Verdict.PASS else "beyond"
    return Finding(
        verdict=verdict,
        text=f"{name} {theirs:.4g}, the champion's {mine:.4g}: {relation} the margin of {policy.validation_margin:g}",
        evidence={
            "metric": name, "champion": mine, "challenger": theirs, "margin": policy.validation_margin,
            "more_is_better": is_more_better,
        },
    )  # fmt: skip


def _choose(champion: Mapping[str, float], challenger: Mapping[str, float], policy: Policy) -> str | None:
    both = champion.keys() & challenger.keys()
    wanted = [policy.validation_metric] if policy.validation_metric else list(DIRECTIONS)
    return next((name for name in wanted if name in both), None)
