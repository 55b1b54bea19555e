"""One measurement against one rule. Change against an earlier period will be judged here too."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from monitoring.alerts.vocabulary import Comparison, Verdict


class Condition(Protocol):
    """The part of a rule that a measurement is judged by."""

    metric: str
    comparison: str
    threshold: float
    window_s: int
    minimum_samples: int


class Measured(Protocol):
    """What `monitoring.statistics.measure` returns."""

    @property
    def value(self) -> float | None:
        """The value; None: there is none."""

    @property
    def samples(self) -> int:
        """How many samples the value stands on."""

    @property
    def detail(self) -> Mapping[str, Any]:
        """What else is worth showing."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What an evaluation found, in a form that can be kept and shown."""

    verdict: Verdict
    message: str
    value: float | None = None
    samples: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)


def judge(rule: Condition, measured: Measured) -> Observation:
    """Return the verdict; a value on too few samples is no verdict at all."""
    value, samples, detail = measured.value, measured.samples, storable(measured.detail)
    if value is None or math.isnan(value):
        reason = detail.get("reason") or "no data"
        text = f"{rule.metric} has no value in the last {rule.window_s} s: {reason}"
        return Observation(verdict=Verdict.NO_DATA, message=text, samples=samples, detail=detail)
    if samples < rule.minimum_samples:
        text = f"{samples} samples in {rule.window_s} s, at least {rule.minimum_samples} are needed"
        return Observation(verdict=Verdict.NO_DATA, message=text, value=value, samples=samples, detail=detail)
    comparison = Comparison(rule.comparison)
    is_breach = comparison.holds(value, rule.threshold)
    relation = comparison.label if is_breach else f"not {comparison.label}"
    text = f"{rule.metric} is {format_number(value)}, {relation} {format_number(rule.threshold)}"
    verdict = Verdict.BREACH if is_breach else Verdict.OK
    return Observation(verdict=verdict, message=text, value=value, samples=samples, detail=detail)


def storable(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON columns of every database take: no NaN, no infinity, no foreign types."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(detail), default=str), parse_constant=str)
    return plain


def format_number(value: float | None) -> str:
    """Return a number as people read it: four significant digits, no needless zeros."""
    if value is None:
        return "no value"
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
