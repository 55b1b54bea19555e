"""The exported rules are good for promtool, and do in Prometheus what they do here."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitoring.alerts.defaults import DEFAULT_RULES
from monitoring.alerts.prometheus import export_rules
from monitoring.alerts.selectors import list_rules
from monitoring.alerts.trial import run_trial
from monitoring.alerts.wire import past
from monitoring.ingestion import record_predictions
from monitoring.models.alerts import AlertRule, QuietHours
from tests.monitoring.alerts.prometheus_tools import run_tool
from tests.monitoring.alerts.world import World, make_rule
from tests.monitoring.factories import make_batch

EDGE = 3  # minutes around a change of state in which the two may differ: windows here are whole minutes


def check(folder: Path) -> str:
    """Write the rule file, have promtool check it, and return its text."""
    text = export_rules(list_rules())
    (folder / "rules.yml").write_text(text)
    run_tool("promtool", "check", "rules", "rules.yml", cwd=folder)
    return text


@pytest.mark.django_db
def test_promtool_takes_the_ready_made_rules(tmp_path: Path) -> None:
    text = check(tmp_path)
    made = AlertRule.objects.count()
    assert made >= len(DEFAULT_RULES) - 1
    assert text.count("- alert:") == made


def test_promtool_takes_every_kind_and_what_it_does_otherwise_is_said(world: World, tmp_path: Path) -> None:
    quiet = QuietHours.objects.create(name="q", effect="pause", days=["sat"], starts="00:00", ends="06:00")
    odd = 'A "quoted" \\ name: {{ $x }} é #1'
    make_rule(name=odd, labels={"team": "a\nb"}, annotations={"runbook": "{{ x }} {endpoint}"}, summary="{value} {{")
    for kind in ("threshold", "change", "absence"):
        for metric in ("error_rate", "latency_p99_ms", "prediction_count", "throughput_per_s", "drift_psi", "accuracy"):
            for place in ({}, {"endpoint": "mnist"}, {"endpoint": "mnist", "version_scope": "one", "version": 3}):
                name = f"{kind} {metric} {len(place)}"
                make_rule(name=name, kind=kind, metric=metric, minimum_samples=5 * len(place), **place)
    make_rule(name="relative", kind="change", change_unit="relative", offset_s=604_800, for_s=90, keep_firing_for_s=60)
    make_rule(name="policies", no_data="alert", on_error="alert").quiet_hours.add(quiet)
    make_rule(name="serving", version_scope="serving", window_s=10)
    make_rule(name="off", is_enabled=False)
    text = check(tmp_path)
    assert "#   off: it is disabled" in text
    assert "not evaluated in the platform from 00:00 to 06:00 UTC on sat" in text
    assert "measured over 60 s, not 10 s" in text
    assert "every version counts" in text
    assert text.count("- alert:") == AlertRule.objects.filter(is_enabled=True).count()


class Minutes:
    """Requests and errors minute by minute, told to the platform and to promtool alike."""

    def __init__(self, requests: list[int], errors: list[int]) -> None:
        self.requests, self.errors = requests, errors
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        self.start = now - timedelta(minutes=len(requests))
        self.until = now

    def record(self) -> None:
        """Ingest them."""
        for minute, (count, failed) in enumerate(zip(self.requests, self.errors, strict=True)):
            if count:
                statuses = [500] * failed + [200] * (count - failed)
                times = self.start.timestamp() + 60 * minute + np.linspace(1, 58, count)
                batch = make_batch(count, endpoint="mnist", statuses=statuses, times_s=tuple(times))
                record_predictions(batches=[batch])

    def series(self) -> list[dict[str, str]]:
        """Return the counters that Prometheus would have scraped at the end of each minute."""

        def counter(name: str, labels: str, steps: list[int]) -> dict[str, str]:
            totals = [0, *np.cumsum(steps).tolist()]
            values = " ".join(str(total) for total in totals)
            return {"series": f'{name}{{endpoint="mnist", version="1"{labels}}}', "values": values}

        good = [count - failed for count, failed in zip(self.requests, self.errors, strict=True)]
        return [
            counter("aiplatform_predictions_total", ', status="200"', good),
            counter("aiplatform_predictions_total", ', status="500"', self.errors),
            counter("aiplatform_ingested_predictions_total", "", good),
        ]


def firing_minutes(rule: AlertRule, minutes: Minutes) -> list[bool]:
    """Return for the end of each minute whether the platform's rule fires (recovering counts as firing)."""
    length = len(minutes.requests)
    trial = run_trial(rule, past(), now=minutes.until, period_s=60 * length, budget=100_000)
    [target] = trial.targets
    assert trial.step_s == 60
    return [moment.state in ("firing", "recovering") for moment in target.moments]


def settled(states: list[bool]) -> list[int]:
    """Return the minutes that are not near a change of state."""
    changes = [index for index in range(1, len(states)) if states[index] != states[index - 1]]
    return [index for index in range(len(states)) if all(abs(index - change) > EDGE for change in changes)]


def expect(
    folder: Path, rule: AlertRule, series: list[dict[str, str]], states: list[bool], labels: dict[str, str]
) -> None:
    """Have promtool find that the exported rule fires in exactly these minutes."""
    check(folder)
    expected = {"exp_labels": {"endpoint": "mnist", "version": "1", "severity": rule.severity, **labels},
                "exp_annotations": {"summary": rule.summary}}  # fmt: skip
    tests: list[dict[str, Any]] = [
        {"eval_time": f"{minute}m", "alertname": rule.name, "exp_alerts": [expected] if states[minute] else []}
        for minute in settled(states)
    ]
    assert {bool(test["exp_alerts"]) for test in tests} == {True, False}, "both states are tested"
    content = {
        "rule_files": ["rules.yml"], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": tests}],
    }  # fmt: skip
    (folder / "test.yml").write_text(json.dumps(content))  # JSON is YAML
    run_tool("promtool", "test", "rules", "test.yml", cwd=folder)


RULE = {"endpoint": "mnist", "summary": "it is wrong"}


def test_an_error_rate_fires_in_prometheus_when_it_fires_here(world: World, tmp_path: Path) -> None:
    requests = [60] * 60
    errors = [0] * 15 + [12] * 15 + [0] * 30
    minutes = Minutes(requests, errors)
    minutes.record()
    rule = make_rule(**RULE, threshold=0.05, for_s=120, keep_firing_for_s=300, minimum_samples=100)
    states = firing_minutes(rule, minutes)
    assert sum(states) > 15
    expect(tmp_path, rule, minutes.series(), states, {})


def test_too_few_requests_are_no_verdict_in_prometheus_either(world: World, tmp_path: Path) -> None:
    requests = [5] * 25 + [60] * 25
    errors = [3] * 25 + [30] * 25
    minutes = Minutes(requests, errors)
    minutes.record()
    rule = make_rule(**RULE, threshold=0.05, minimum_samples=100)
    states = firing_minutes(rule, minutes)
    expect(tmp_path, rule, minutes.series(), states, {})


def test_a_fall_against_an_earlier_hour_fires_in_prometheus_when_it_fires_here(world: World, tmp_path: Path) -> None:
    requests = [50] * 90 + [4] * 30 + [50] * 20
    minutes = Minutes(requests, [0] * len(requests))
    minutes.record()
    rule = make_rule(
        **RULE, kind="change", metric="prediction_count", change_unit="relative", comparison="lt", threshold=-0.5,
        offset_s=3600, window_s=600, for_s=120, minimum_samples=100,
    )  # fmt: skip
    states = firing_minutes(rule, minutes)
    expect(tmp_path, rule, minutes.series(), states, {})


def test_traffic_that_is_absent_fires_in_prometheus_when_it_fires_here(world: World, tmp_path: Path) -> None:
    requests = [50] * 20 + [0] * 30
    minutes = Minutes(requests, [0] * len(requests))
    minutes.record()
    rule = make_rule(**RULE, kind="absence", metric="prediction_count", window_s=300, for_s=60)
    states = firing_minutes(rule, minutes)
    expect(tmp_path, rule, minutes.series(), states, {})


def test_a_rule_without_a_series_reads_the_gauge_of_its_own_value(world: World, tmp_path: Path) -> None:
    rule = make_rule(**RULE, name="moved", metric="drift_psi", threshold=0.25, for_s=120)
    labels = '{rule="moved", endpoint="mnist", version="1", instance="a"}'
    series = [{"series": f"aiplatform_alert_rule_value{labels}", "values": "0.1x9 0.5x19 0.1x10"}]
    states = [False] * 12 + [True] * 18 + [False] * 10
    expect(tmp_path, rule, series, states, {})


def test_the_gauges_show_what_the_evaluation_found(world: World) -> None:
    from monitoring.alerts.metrics import RULE_SAMPLES, RULE_VALUE, RULE_VERDICT

    make_rule(name="shown")
    world.tick(value=0.2)
    names = ("shown", "mnist", "1")
    assert RULE_VALUE.labels(*names)._value.get() == 0.2
    assert RULE_SAMPLES.labels(*names)._value.get() == 1000
    assert RULE_VERDICT.labels(*names)._value.get() == 1
    AlertRule.objects.update(version_scope="serving")
    world.serving["mnist"], world.values[("mnist", 1)] = frozenset(), None
    world.tick()
    assert np.isnan(RULE_VALUE.labels(*names)._value.get()), "what is no longer watched breaks no rule"
