"""From labelled predictions to a challenger in a rollout, through every crash."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from aiplatform.contracts.training import RetrainModel, RunInfo
from aiplatform.errors import ConflictError, UnavailableError
from monitoring.actions.retraining import RetrainingWorld, advance_retrainings, order_retraining
from monitoring.models.retrainings import Retraining
from monitoring.models.rollouts import Rollout
from monitoring.store.training_data import LabelledExport
from tests.monitoring.rollouts.fakes import FakeTraining, Scene

pytestmark = pytest.mark.django_db


@dataclass
class Training(FakeTraining):
    """Also retrains: version 2 comes of it."""

    orders: list[RetrainModel] = field(default_factory=list)
    error: Exception | None = None
    run: RunInfo = field(
        default_factory=lambda: RunInfo(
            run_id="run-1234567", model="digits", recipe="r", data_uri="all:digits|x", state="running", is_ended=False,
            has_succeeded=False,
        )
    )  # fmt: skip

    def retrain(self, order: RetrainModel) -> RunInfo:
        if self.error:
            raise self.error
        self.orders.append(order)
        return self.run

    def get_run(self, run_id: str) -> RunInfo:
        return self.run

    def succeed(self) -> None:
        self.run = replace(self.run, state="succeeded", is_ended=True, has_succeeded=True, version=2)


class Stage:
    """A retraining with what it asks."""

    def __init__(self, rows: int = 80) -> None:
        self.scene, self.training, self.rows = Scene(), Training(), rows
        self.exports: list[dict[str, Any]] = []
        order_retraining(
            endpoint="digits", version=1, key="alert-1", actor="alert rule", inference=self.scene.inference,
            now=self.scene.now, policy={"shadow_s": 0},
        )  # fmt: skip

    def export(self, endpoint: str, **period: Any) -> LabelledExport:
        self.exports.append(period)
        return LabelledExport(uri=f"{period['uri']}/labelled.npz", rows=self.rows, format="npz")

    def look(self) -> Retraining:
        advance_retrainings(
            RetrainingWorld(
                inference=self.scene.inference, training=self.training, export_labelled=self.export,
                clock=lambda: self.scene.now,
            )
        )  # fmt: skip
        return Retraining.objects.get()


def test_labelled_predictions_and_the_original_data_make_a_challenger_in_a_rollout() -> None:
    stage = Stage()
    row = stage.look()
    (order,) = stage.training.orders
    assert (row.state, row.labelled, order.idempotency_key) == ("training", 80, "alert-1")
    assert order.extra_data_uri.endswith("labelled.npz")
    assert stage.look().state == "training"
    stage.training.succeed()
    stage.look()
    row = stage.look()
    rollout = Rollout.objects.get()
    assert (row.state, row.rollout_id, rollout.challenger) == ("done", rollout.pk, 2)
    assert rollout.policy["shadow_s"] == 0
    assert stage.training.aliases == {"challenger": 2}


def test_too_few_labels_train_nothing() -> None:
    stage = Stage(rows=3)
    row = stage.look()
    assert (row.state, stage.training.orders) == ("failed", [])
    assert "only 3 predictions are labelled" in row.text


def test_a_given_source_takes_the_place_of_both() -> None:
    stage = Stage()
    Retraining.objects.update(source="s3://bucket/new.csv")
    stage.look()
    (order,) = stage.training.orders
    assert (order.data_uri, order.extra_data_uri, stage.exports) == ("s3://bucket/new.csv", "", [])


def test_a_run_that_failed_ends_it_with_its_words() -> None:
    stage = Stage()
    stage.look()
    stage.training.run = replace(stage.training.run, state="failed", is_ended=True, message="out of memory")
    row = stage.look()
    assert (row.state, "out of memory" in row.text) == ("failed", True)


def test_what_is_away_is_waited_for_and_what_cannot_be_is_not() -> None:
    stage = Stage()
    stage.training.error = UnavailableError("training cannot be reached")
    assert (stage.look().state, "trying again" in stage.look().text) == ("collecting", True)
    stage.training.error = ConflictError("version 1 was imported")
    assert stage.look().state == "failed"


def test_while_another_rollout_goes_on_it_waits_its_turn() -> None:
    stage = Stage()
    other = Rollout.objects.create(
        key="k", endpoint="digits", model="digits", champion=1, challenger=3, started_by="a", created_at=stage.scene.now
    )
    stage.look()
    stage.training.succeed()
    stage.look()
    assert stage.look().text.startswith("waits: a rollout of endpoint 'digits' goes on")
    other.delete()
    assert stage.look().state == "done"


def test_a_crash_after_an_order_repeats_it_with_the_same_key() -> None:
    stage = Stage()
    stage.look()
    Retraining.objects.update(state="collecting", run_id="")  # ordered, and not noted
    stage.look()
    assert [order.idempotency_key for order in stage.training.orders] == ["alert-1", "alert-1"]
    assert Retraining.objects.get().state == "training"
