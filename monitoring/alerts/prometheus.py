"""The rules as a Prometheus rule file, so that Prometheus can alert even where the platform cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from monitoring.alerts.promql import duration, expression_of
from monitoring.alerts.vocabulary import QuietEffect
from monitoring.models.alerts import AlertRule, QuietHours

_PLACES = {
    "endpoint": "{{ $labels.endpoint }}",
    "version": "{{ $labels.version }}",
    "value": '{{ printf "%.4g" $value }}',
}
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


def export_rules(rules: Iterable[AlertRule]) -> str:
    """Return the enabled rules as a rule file (YAML; Prometheus 2.42 or newer, for keep_firing_for)."""
    every = list(rules)
    enabled = [rule for rule in every if rule.is_enabled]
    lines = [
        "# The platform's alert rules for Prometheus: manage.py alerts export-prometheus",
        "# Actions, channels and acknowledgements stay with the platform; routes belong into Alertmanager.",
    ]
    left_out = [rule for rule in every if not rule.is_enabled]
    if left_out:
        lines += ["# Left out:", *(f"#   {_one_line(rule.name)}: it is disabled" for rule in left_out)]
    lines += ["groups:", "  - name: aiplatform-model-rules", "    rules:" if enabled else "    rules: []"]
    for rule in enabled:
        lines += [f"      {line}" for line in _rule_lines(rule)]
    return "\n".join(lines) + "\n"


def _rule_lines(rule: AlertRule) -> Iterator[str]:
    expression = expression_of(rule)
    yield f"# {_one_line(rule.condition)}"
    for note in [*expression.notes, *(_quiet_note(hours) for hours in rule.quiet_hours.all())]:
        yield f"# Note: {_one_line(note)}"
    yield f"- alert: {_quoted(rule.name)}"
    yield f"  expr: {_quoted(expression.text)}"
    if rule.for_s:
        yield f"  for: {duration(rule.for_s)}"
    if rule.keep_firing_for_s:
        yield f"  keep_firing_for: {duration(rule.keep_firing_for_s)}"
    feature = {"feature": rule.feature} if rule.feature else {}
    yield from _mapping("labels", {**rule.labels, **feature, "severity": str(rule.severity)})
    texts = {**rule.annotations, "summary": rule.summary or f"{rule.name} on {{endpoint}} version {{version}}"}
    yield from _mapping("annotations", {name: _template(text, rule) for name, text in texts.items()})


def _mapping(name: str, texts: dict[str, str]) -> Iterator[str]:
    yield f"  {name}:"
    for key, text in texts.items():
        yield f"    {_quoted(key)}: {_quoted(text)}"


def _template(text: str, rule: AlertRule) -> str:
    """Return a text with the platform's placeholders as Prometheus' templates."""
    fixed = {"metric": rule.metric, "threshold": f"{rule.threshold:g}", "samples": "enough"}
    safe = text.replace("{{", '{{ "{{" }}')
    return _PLACEHOLDER.sub(lambda found: _PLACES.get(found[1], fixed.get(found[1], found[0])), safe)


def _quiet_note(hours: QuietHours) -> str:
    what = "not evaluated" if hours.effect == QuietEffect.PAUSE else "told to nobody"
    return (
        f"{what} in the platform from {hours.starts:%H:%M} to {hours.ends:%H:%M} {hours.time_zone} on "
        f"{', '.join(hours.days)}; in Prometheus it is evaluated: give Alertmanager a mute_time_interval"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())
