"""What Prometheus sees of the rules: what each measures, and how many alerts stand."""

from __future__ import annotations

import math
from collections import Counter

from monitoring.alerts.judgement import Observation
from monitoring.alerts.metrics import FIRING, RULE_SAMPLES, RULE_VALUE, RULE_VERDICT
from monitoring.alerts.vocabulary import STANDING_STATES, Severity, Verdict
from monitoring.models.alerts import Alert, AlertRule, RuleTarget

VERDICT_NUMBERS = {Verdict.OK: 0, Verdict.BREACH: 1, Verdict.NO_DATA: 2, Verdict.ERROR: 3}
_Names = tuple[str, str, str]
_shown: set[_Names] = set()


def show(rule: AlertRule, target: RuleTarget, found: Observation) -> None:
    """Set the gauges of one target to what was found there."""
    names = _names(rule, target)
    _shown.add(names)
    has_value = found.value is not None and found.verdict in (Verdict.OK, Verdict.BREACH)
    RULE_VALUE.labels(*names).set(found.value if has_value else math.nan)  # type: ignore[arg-type]
    RULE_SAMPLES.labels(*names).set(found.samples)
    RULE_VERDICT.labels(*names).set(VERDICT_NUMBERS[found.verdict])


def forget(rule: AlertRule, target: RuleTarget) -> None:
    """Set the gauges of what is no longer watched to NaN, which breaks no rule."""
    _clear(_names(rule, target))


def forget_all() -> None:
    """Forget all that this process showed: another evaluates now."""
    for names in list(_shown):
        _clear(names)


def count_standing() -> None:
    """Set the number of alerts that fired and are not over."""
    standing = Counter(Alert.objects.filter(state__in=STANDING_STATES).order_by().values_list("severity", flat=True))
    for severity in Severity.values:
        FIRING.labels(severity).set(standing[severity])


def _clear(names: _Names) -> None:
    if names in _shown:
        for gauge in (RULE_VALUE, RULE_SAMPLES, RULE_VERDICT):
            gauge.labels(*names).set(math.nan)
        _shown.discard(names)


def _names(rule: AlertRule, target: RuleTarget) -> _Names:
    return rule.name, target.endpoint, str(target.version)
