"""What a challenger must show before it becomes champion: numbers, each with a default in the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from django.conf import settings

from aiplatform.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One endpoint's policy. Shares and margins are fractions of 1; `steps` are percents of the requests.

    validation_margin: how much worse the validation metric may be (absolute, in the metric's own unit).
    replay_requests: so many recorded requests run through both versions; 0 leaves the gate out.
    shadow_s, shadow_requests: so long, and so many compared requests; shadow_s 0 leaves the gate out.
    min_agreement: of the answers in replay and shadow, where no labels say who is right.
    max_latency_ratio: the challenger's p95 in replay beside the champion's there.
    step_s, min_samples: so long, and so many requests of the challenger, in each canary step.
    min_labels: with fewer labelled answers of either, a step says nothing of accuracy.
    error_margin, latency_margin, accuracy_margin: how much greater the challenger's share of errors, of
    answers slower than the champion's p95, and of wrong answers may be; of numbers, how much greater the mean
    error may be, in parts of four times the champion's of the day before.
    alpha: the probability that all canary steps together turn an equal challenger away.
    loading_timeout_s: a challenger that is not loaded by then has failed.
    engine_patience_s: so long it may take until it runs on the champion's engine, which is compiled meanwhile.
    """

    validation_metric: str = ""
    validation_margin: float = 0.02
    replay_requests: int = 200
    shadow_s: float = 600.0
    shadow_requests: int = 100
    min_agreement: float = 0.8
    max_latency_ratio: float = 2.0
    steps: tuple[int, ...] = (1, 5, 25, 50, 100)
    step_s: float = 300.0
    min_samples: int = 100
    min_labels: int = 30
    error_margin: float = 0.01
    latency_margin: float = 0.1
    accuracy_margin: float = 0.02
    alpha: float = 0.05
    loading_timeout_s: float = 600.0
    engine_patience_s: float = 120.0


def read_policy(values: Mapping[str, Any]) -> Policy:
    """Return the policy that the settings, and over them some values, make.

    Raises: InvalidInputError naming the value and the rule.
    """
    merged = {**default_values(), **values}
    try:
        policy = msgspec.convert(merged, Policy, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"a promotion policy: {error}") from error
    unknown = sorted(set(values) - set(asdict(policy)))
    if unknown:
        raise InvalidInputError(f"a promotion policy has no '{unknown[0]}'; it has {', '.join(asdict(policy))}")
    _check(policy)
    return policy


def policy_problems(values: object) -> str:
    """Return what is wrong with a policy's values, or nothing."""
    if not isinstance(values, Mapping):
        return "must be an object of names and values"
    try:
        read_policy(values)
    except InvalidInputError as error:
        return error.message
    return ""


def plain_policy(policy: Policy) -> dict[str, Any]:
    """Return a policy as JSON keeps it."""
    return {**asdict(policy), "steps": list(policy.steps)}


def default_values() -> dict[str, Any]:
    """Return what the settings say."""
    return {
        "validation_margin": settings.ROLLOUT_VALIDATION_MARGIN,
        "replay_requests": settings.ROLLOUT_REPLAY_REQUESTS,
        "shadow_s": settings.ROLLOUT_SHADOW_S,
        "shadow_requests": settings.ROLLOUT_SHADOW_REQUESTS,
        "min_agreement": settings.ROLLOUT_MIN_AGREEMENT,
        "max_latency_ratio": settings.ROLLOUT_MAX_LATENCY_RATIO,
        "steps": [int(step) for step in settings.ROLLOUT_STEPS],
        "step_s": settings.ROLLOUT_STEP_S,
        "min_samples": settings.ROLLOUT_MIN_SAMPLES,
        "min_labels": settings.ROLLOUT_MIN_LABELS,
        "error_margin": settings.ROLLOUT_ERROR_MARGIN,
        "latency_margin": settings.ROLLOUT_LATENCY_MARGIN,
        "accuracy_margin": settings.ROLLOUT_ACCURACY_MARGIN,
        "alpha": settings.ROLLOUT_ALPHA,
        "loading_timeout_s": settings.ROLLOUT_LOADING_TIMEOUT_S,
        "engine_patience_s": settings.ROLLOUT_ENGINE_PATIENCE_S,
    }


def _check(policy: Policy) -> None:
    steps = policy.steps
    if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1 or steps[-1] > 100:
        raise InvalidInputError(f"steps must be growing percents from 1 to 100, not {list(steps)}")
    for name in ("alpha", "min_agreement", "error_margin", "latency_margin", "accuracy_margin"):
        if not 0 <= getattr(policy, name) < 1 and not (name == "min_agreement" and policy.min_agreement == 1):
            raise InvalidInputError(f"{name} must be from 0 to below 1, not {getattr(policy, name)}")
    if policy.alpha <= 0:
        raise InvalidInputError("alpha must be greater than 0")
    for name, value in asdict(policy).items():
        if isinstance(value, int | float) and value < 0:
            raise InvalidInputError(f"{name} must not be negative, not {value}")
    if policy.min_samples < 1:
        raise InvalidInputError(f"min_samples must be at least 1, not {policy.min_samples}")
