"""The rules of a new platform: there after migrate, never twice, quiet on a quiet day."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitoring.alerts.checks import check_alert_settings
from monitoring.alerts.defaults import DEFAULT_RULES, ensure_default_rules
from monitoring.alerts.history import LONGEST, append_thinned
from monitoring.alerts.retention import delete_old_alerts
from monitoring.ingestion import record_predictions
from monitoring.models.alerts import Alert, AlertRule
from monitoring.statistics import METRICS, measure
from tests.monitoring.alerts.world import START, World, make_rule
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import NOW, make_batch


@pytest.mark.django_db
def test_migrate_made_the_default_rules_and_they_are_valid() -> None:
    assert set(AlertRule.objects.values_list("name", flat=True)) == {
        fields["name"] for fields in DEFAULT_RULES.values() if fields["metric"] in METRICS
    }
    for rule in AlertRule.objects.all():
        rule.full_clean()


@pytest.mark.django_db
def test_a_default_rule_that_was_changed_or_deleted_stays_so() -> None:
    AlertRule.objects.filter(name="Input drift").delete()
    AlertRule.objects.filter(name="Slow answers").update(threshold=50)
    assert ensure_default_rules() == []
    assert not AlertRule.objects.filter(name="Input drift").exists()
    assert AlertRule.objects.get(name="Slow answers").threshold == 50


def test_old_alerts_go_and_active_ones_stay(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    assert delete_old_alerts(now=START + timedelta(days=100), keep_days=90) == 0
    world.tick(value=0.01)
    assert delete_old_alerts(now=START + timedelta(days=89), keep_days=90) == 0
    assert delete_old_alerts(now=START + timedelta(days=91), keep_days=90) == 1
    assert not Alert.objects.exists()


def test_a_long_history_is_bounded_and_keeps_its_ends() -> None:
    samples: list[list[float | None]] = []
    for second in range(5000):
        samples = append_thinned(samples, START + timedelta(seconds=second), float(second))
    assert len(samples) <= LONGEST
    assert (samples[0][1], samples[-1][1]) == (0.0, 4999.0)


def test_settings_that_cannot_work_are_found(settings: object) -> None:
    assert not [problem for problem in check_alert_settings(None) if problem.id == "monitoring.E101"]
    settings.ALERT_INTERVAL_S = 0  # type: ignore[attr-defined]
    assert [problem.msg for problem in check_alert_settings(None) if problem.id == "monitoring.E101"] == [
        "ALERT_INTERVAL_S must be above 0, not 0"
    ]


@pytest.mark.django_db
def test_half_an_embedding_that_drifted_alerts_and_clean_or_missing_ones_do_not(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    baseline = random.normal(0, 1, (2_000, 2))
    uri, digest = write_artifact(tmp_path, {"x": random.normal(0, 1, 2_000)}, embeddings=baseline)
    shifts: dict[str, float | None] = {"clean": 0.0, "moved": 0.8, "without": None}
    for endpoint, shift in shifts.items():
        batch = make_batch(
            400, endpoint=endpoint, uri=uri, digest=digest, numeric={"x": random.normal(0, 1, 400)},
            embedding=None if shift is None else random.normal([shift, 0.0], 1, (400, 2)),
        )  # fmt: skip
        record_predictions(batches=[batch], now=NOW)
    rule = AlertRule.objects.get(name="Embedding drift")
    asked: dict[str, Any] = {"version": 1, "window_s": rule.window_s, "now": NOW}
    values = {endpoint: measure(rule.metric, endpoint=endpoint, **asked).value for endpoint in shifts}
    assert values == {"clean": 0.0, "moved": 0.5, "without": None}
    assert rule.comparison == "ge" and rule.threshold == 0.5
