"""Measurements against one rule: the value itself, its change against an earlier period, or its absence."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from monitoring.alerts.conditions import reference_text
from monitoring.alerts.durations import duration_text
from monitoring.alerts.vocabulary import ChangeUnit, Comparison, Reference, Verdict


class Condition(Protocol):
    """The part of a rule that a measurement is judged by."""

    metric: str
    comparison: str
    threshold: float
    change_unit: str
    reference: str
    offset_s: int
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
    is_empty: bool = False  # a breach without a single sample in the window itself: nothing came


def judge(rule: Condition, measured: Measured) -> Observation:
    """Return the verdict on a value; one on too few samples is no verdict at all."""
    lacking = _lacking(rule, measured)
    if lacking:
        return lacking
    found = _compare(rule, rule.metric, measured.value or 0.0, measured.samples, storable(measured.detail))
    return dataclasses.replace(found, is_empty=measured.samples == 0)


def judge_change(rule: Condition, now: Measured, before: Measured, *, zero_is_data: bool) -> Observation:
    """Return the verdict on a change. Both periods need enough samples.

    With `zero_is_data` (a count) only the earlier period does: to fall to nothing is what such a rule looks for.
    """
    lacking = _lacking(rule, now, minimum=0 if zero_is_data else None)
    if lacking:
        return lacking
    then = "in training" if rule.reference == Reference.TRAINING else reference_text(rule.reference, rule.offset_s)
    needed = 0 if rule.reference == Reference.TRAINING else max(1, rule.minimum_samples)
    earlier = _lacking(rule, before, minimum=needed)
    if earlier:
        text = f"nothing to compare with: {then}, {earlier.message}"
        return Observation(verdict=Verdict.NO_DATA, message=text, samples=now.samples, detail=storable(now.detail))
    value, base = now.value or 0.0, before.value or 0.0
    detail = {**storable(now.detail), "now": value, "before": base, "samples_before": before.samples}
    change = value - base
    if rule.change_unit == ChangeUnit.RELATIVE:
        if base == 0:
            text = f"{rule.metric} was 0 {then}: there is no relative change"
            return Observation(verdict=Verdict.NO_DATA, message=text, samples=now.samples, detail=detail)
        change /= abs(base)
    samples = max(now.samples, before.samples) if zero_is_data else now.samples
    found = _compare(rule, f"the change of {rule.metric}", change, samples, detail)
    text = f"{found.message} (now {format_number(value)}, {then} {format_number(base)})"
    return dataclasses.replace(found, message=text, is_empty=now.samples == 0)


def judge_absence(rule: Condition, measured: Measured) -> Observation:
    """Return the verdict of a rule that looks for data: a breach if there is none, or less than its minimum."""
    samples, detail, needed = measured.samples, storable(measured.detail), max(1, rule.minimum_samples)
    if measured.value is None or samples < needed:
        found = f"{samples} samples" if samples else "nothing"
        text = f"{rule.metric}: {found} in {duration_text(rule.window_s)}, at least {needed} expected"
        return Observation(
            verdict=Verdict.BREACH, message=text, value=float(samples), samples=samples, detail=detail,
            is_empty=not samples,
        )  # fmt: skip
    text = f"{rule.metric}: {samples} samples in {duration_text(rule.window_s)}"
    return Observation(verdict=Verdict.OK, message=text, value=float(samples), samples=samples, detail=detail)


def _lacking(rule: Condition, measured: Measured, *, minimum: int | None = None) -> Observation | None:
    """Return the observation 'no data' if a measurement is none, or stands on too little."""
    value, samples, detail = measured.value, measured.samples, storable(measured.detail)
    needed = rule.minimum_samples if minimum is None else minimum
    if value is None or math.isnan(value):
        reason = detail.get("reason") or "no data"
        text = f"{rule.metric} has no value in the last {duration_text(rule.window_s)}: {reason}"
        return Observation(verdict=Verdict.NO_DATA, message=text, samples=samples, detail=detail)
    if samples < needed:
        text = f"{samples} samples in {duration_text(rule.window_s)}, at least {needed} are needed"
        return Observation(verdict=Verdict.NO_DATA, message=text, value=value, samples=samples, detail=detail)
    return None


def _compare(rule: Condition, what: str, value: float, samples: int, detail: Mapping[str, Any]) -> Observation:
    comparison = Comparison(rule.comparison)
    is_breach = comparison.holds(value, rule.threshold)
    relation = comparison.label if is_breach else f"not {comparison.label}"
    text = f"{what} is {format_number(value)}, {relation} {format_number(rule.threshold)}"
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
