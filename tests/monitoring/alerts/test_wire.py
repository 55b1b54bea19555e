"""The jobs as the clock runs them, on the real parts of monitoring and inference."""

from __future__ import annotations

from typing import Any

import pytest

from aiplatform.contracts.inference import RollBackEndpoint
from aiplatform.errors import UnavailableError
from aiplatform.services import inference_client
from aiplatform.wiring import wiring
from monitoring.alerts import wire
from monitoring.alerts.metrics import FIRING
from monitoring.models.alerts import AlertRule, RuleTarget
from tests.monitoring.alerts.world import World, make_rule


def test_the_clock_is_told_of_every_job() -> None:
    names = {job.name for job in wiring.jobs}
    assert {"alerts-evaluate", "alerts-notify", "alerts-act", "alerts-tidy"} <= names


@pytest.mark.django_db
def test_every_job_runs_on_an_empty_platform() -> None:
    assert AlertRule.objects.exists()
    wire.evaluate_rules()
    wire.send_notifications()
    wire.run_actions()
    wire.tidy_alerts()
    assert not RuleTarget.objects.exists()


@pytest.mark.django_db
def test_a_rule_for_one_version_is_measured_by_the_real_statistics() -> None:
    make_rule(name="one version", endpoint="mnist", version_scope="one", version=1)
    wire.evaluate_rules()
    target = RuleTarget.objects.get()
    assert (target.state, target.verdict) == ("no_data", "no_data"), target.message


@pytest.mark.django_db
def test_an_unknown_endpoint_serves_nothing() -> None:
    assert wire.serving_versions("nobody-has-deployed-this") == frozenset()


def test_an_inference_service_that_is_away_is_unknown_not_empty(settings: Any) -> None:
    settings.SERVICE_URLS = {**settings.SERVICE_URLS, "inference": "http://127.0.0.1:9"}
    assert wire.serving_versions("mnist") is None
    with pytest.raises(UnavailableError):
        order = RollBackEndpoint(endpoint="mnist", actor="a", reason="r", idempotency_key="k")
        inference_client().roll_back_endpoint(order)


def test_the_metric_counts_what_fires(world: World) -> None:
    make_rule(severity="critical")
    world.tick(value=0.2)
    assert FIRING.labels("critical")._value.get() == 1
    world.tick(value=0.01)
    assert FIRING.labels("critical")._value.get() == 0
