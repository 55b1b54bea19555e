"""What one evaluation reads is read once, however many rules ask for it, and never kept for the next."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import DataError, IntegrityError, connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from monitoring.alerts import transitions
from monitoring.alerts.defaults import DEFAULT_RULES
from monitoring.alerts.evaluation import Evaluator
from monitoring.alerts.lease import LeaseHolder
from monitoring.ingestion import record_predictions
from monitoring.models.alerts import AlertRule, RuleTarget
from monitoring.selectors import list_active_versions
from monitoring.statistics import measure
from tests.monitoring.alerts.world import World, make_rule
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import NOW, make_batch


@pytest.fixture
def artifact(world: World, tmp_path: Path) -> dict[str, str]:
    """Return an artifact, of which a version has answered 300 predictions that are as in training."""
    random = np.random.default_rng(0)
    uri, digest = write_artifact(tmp_path, {"size": random.normal(size=2000)}, metrics={"test_accuracy": 0.9})
    found = {"uri": uri, "digest": digest}
    record(found, random.normal(size=300))
    return found


def record(artifact: dict[str, str], values: Any) -> None:
    batch = make_batch(len(values), numeric={"size": values}, uri=artifact["uri"], digest=artifact["digest"])
    record_predictions(batches=[batch], now=NOW)


def make_evaluator(world: World) -> Evaluator:
    """Return an evaluator with the real statistics and a lease."""
    world.now = NOW + timedelta(seconds=20)
    return Evaluator(
        measure=measure, list_active_versions=list_active_versions, serving_versions=lambda endpoint: frozenset({1}),
        clock=lambda: world.now, lease=LeaseHolder(name="alert rules", duration_s=600),
    )  # fmt: skip


def count_queries(world: World, evaluator: Evaluator) -> int:
    """Return how many queries an evaluation takes, once its targets are there."""
    evaluator.run()
    world.now += timedelta(seconds=1)
    with CaptureQueriesContext(connection) as queries:
        assert set(evaluator.run()) == {"none"}
    return len(queries)


def test_more_rules_that_look_at_the_same_take_no_more_queries(world: World, artifact: dict[str, str]) -> None:
    for fields in DEFAULT_RULES.values():
        AlertRule.objects.create(**fields)
    evaluator = make_evaluator(world)
    first = count_queries(world, evaluator)
    assert first <= 24
    for copy in range(3):
        for fields in DEFAULT_RULES.values():
            AlertRule.objects.create(**{**fields, "name": f"{fields['name']} {copy}"})
    assert count_queries(world, evaluator) == first
    assert RuleTarget.objects.filter(evaluated_at=world.now).count() == 4 * len(DEFAULT_RULES)


def test_the_next_evaluation_reads_anew(world: World, artifact: dict[str, str]) -> None:
    make_rule(metric="prediction_count", comparison="gt", threshold=10_000)
    evaluator = make_evaluator(world)
    evaluator.run()
    record(artifact, np.zeros(50))
    world.now += timedelta(seconds=1)
    evaluator.run()
    assert RuleTarget.objects.get().value == 350


@pytest.mark.postgres
def test_steps_without_consequences_are_written_together_and_count_up(world: World, artifact: dict[str, str]) -> None:
    make_rule(name="a", metric="error_rate")
    make_rule(name="b", metric="latency_p99_ms", threshold=1000)
    evaluator = make_evaluator(world)
    evaluator.run()
    before = dict(RuleTarget.objects.values_list("pk", "revision"))
    world.now += timedelta(seconds=1)
    evaluator.run()
    assert dict(RuleTarget.objects.values_list("pk", "revision")) == {pk: seen + 1 for pk, seen in before.items()}
    found = {target.rule.name: target for target in RuleTarget.objects.select_related("rule")}
    assert (found["a"].value, found["a"].state, found["a"].samples) == (0.0, "inactive", 300)
    assert found["b"].value == pytest.approx(5.0, abs=0.1)
    assert len(found["a"].recent) == 2


def test_a_step_that_another_evaluator_wrote_first_is_not_written_again(world: World, artifact: dict[str, str]) -> None:
    make_rule(name="a", metric="error_rate")
    evaluator = make_evaluator(world)
    evaluator.run()

    def measure_and_be_overtaken(metric: str, **asked: Any) -> Any:
        RuleTarget.objects.update(revision=100, message="the other's")
        return measure(metric, **asked)

    evaluator.measure = measure_and_be_overtaken
    world.now += timedelta(seconds=1)
    assert evaluator.run() == {}
    target = RuleTarget.objects.get()
    assert (target.revision, target.message) == (100, "the other's")


@pytest.mark.parametrize("broken", ["a broken one", "z broken one"])
def test_a_step_that_cannot_be_written_leaves_the_others_written(
    broken: str, world: World, artifact: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule(name=broken, metric="error_rate", threshold=0.5)
    make_rule(name="b sound one", metric="error_rate", threshold=0.6)
    changes = transitions._changes

    def changes_once_damaged(target: RuleTarget, step: transitions.Step) -> dict[str, Any]:
        if target.rule.name == broken:
            raise DataError("damaged")
        return changes(target, step)

    monkeypatch.setattr(transitions, "_changes", changes_once_damaged)
    assert make_evaluator(world).run() == {"none": 1, "failed": 1}
    assert RuleTarget.objects.get(evaluated_at=world.now).rule.name == "b sound one"


def test_steps_are_written_one_by_one_if_they_cannot_be_together(
    world: World, artifact: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule(name="a", metric="error_rate", threshold=0.5)
    make_rule(name="b", metric="error_rate", threshold=0.6)

    def refuse(*rows: Any, **options: Any) -> None:
        raise IntegrityError("together is not possible")

    monkeypatch.setattr(QuerySet, "bulk_create", refuse)
    assert make_evaluator(world).run() == {"none": 2}
    assert RuleTarget.objects.filter(evaluated_at=world.now).count() == 2
