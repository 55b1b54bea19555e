"""What a rule must be like to be able to work at all."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from monitoring.alerts.matchers import LABEL_NAME
from monitoring.alerts.vocabulary import EVERY_ENDPOINT, Reference, RuleKind, VersionScope

ENDPOINT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
RESERVED_LABELS = frozenset({"alertname", "endpoint", "version", "severity", "feature"})
WINDOW_RANGE_S = (10, 30 * 24 * 3600)
OFFSET_LIMIT_S = 60 * 24 * 3600


class RuleFields(Protocol):
    """The fields of a rule that have something to be checked."""

    endpoint: str
    version_scope: str
    version: int | None
    kind: str
    metric: str
    feature: str
    threshold: float
    reference: str
    offset_s: int
    window_s: int
    labels: Any
    annotations: Any


def rule_problems(rule: RuleFields) -> Iterator[tuple[str, str]]:
    """Yield (field, message) for everything that is wrong with a rule."""
    if rule.endpoint != EVERY_ENDPOINT and not ENDPOINT_NAME.fullmatch(rule.endpoint or ""):
        yield "endpoint", f"must be * or a name of a-z, 0-9, '.', '_' and '-', not '{rule.endpoint}'"
    yield from _version_problems(rule)
    yield from _metric_problems(rule)
    if rule.threshold is not None and not math.isfinite(rule.threshold):
        yield "threshold", f"must be a finite number, not {rule.threshold}"
    low, high = WINDOW_RANGE_S
    if rule.window_s is not None and not low <= rule.window_s <= high:
        yield "window_s", f"must be from {low} to {high} seconds, not {rule.window_s}"
    if rule.kind == RuleKind.CHANGE and rule.offset_s is not None and not 60 <= rule.offset_s <= OFFSET_LIMIT_S:
        yield "offset_s", f"must be from 60 to {OFFSET_LIMIT_S} seconds, not {rule.offset_s}"
    if rule.kind == RuleKind.CHANGE and rule.reference == Reference.TRAINING and rule.metric != "accuracy":
        yield "reference", f"only accuracy is known from training, not '{rule.metric}'"
    yield from _label_problems(rule)
    if not _is_text_mapping(rule.annotations):
        yield "annotations", "must be an object of texts"


def _version_problems(rule: RuleFields) -> Iterator[tuple[str, str]]:
    if rule.version_scope != VersionScope.ONE:
        if rule.version is not None:
            yield "version", f"goes only with version_scope 'one', not '{rule.version_scope}'"
        return
    if rule.version is None:
        yield "version", "version_scope 'one' needs a version number"
    if rule.endpoint == EVERY_ENDPOINT:
        yield "endpoint", "version_scope 'one' needs one endpoint, not *"


def _metric_problems(rule: RuleFields) -> Iterator[tuple[str, str]]:
    from monitoring.statistics import METRICS  # statistics reads models, which validate by this module

    info = METRICS.get(rule.metric)
    if info is None:
        yield "metric", f"must be one of {', '.join(METRICS)}, not '{rule.metric}'"
    elif rule.feature and not info.needs_feature:
        yield "feature", f"{rule.metric} is not measured by feature; leave it empty, not '{rule.feature}'"


def _label_problems(rule: RuleFields) -> Iterator[tuple[str, str]]:
    if not _is_text_mapping(rule.labels):
        yield "labels", "must be an object of texts"
        return
    reserved = sorted(RESERVED_LABELS & set(rule.labels))
    if reserved:
        yield "labels", f"{', '.join(reserved)} is set by the platform; choose another name"
    unusable = sorted(name for name in rule.labels if not LABEL_NAME.fullmatch(name))
    if unusable:
        yield "labels", f"a name is letters, digits and '_', and no digit first, not '{unusable[0]}'"


def _is_text_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
