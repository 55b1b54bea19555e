"""What training answers the other apps through its contract's client."""

from __future__ import annotations

import pytest

from aiplatform.contracts.training import RetrainModel, RunInfo, SetAlias
from aiplatform.errors import ConflictError, NotFoundError
from aiplatform.services import training_client
from training import registry
from training.models import Run

from ..factories import make_version

pytestmark = pytest.mark.django_db


def test_a_version_is_told_by_number_alias_and_latest() -> None:
    first, _ = make_version(), make_version()
    registry.set_alias(model_name="mnist", alias="champion", reference="1")
    client = training_client()
    found = client.get_model_version("mnist", "champion")
    assert (found.version, found.aliases, found.run_id) == (1, ("champion",), str(first.run_id))
    assert (found.artifact_digest, found.labels, dict(found.metrics)) == ("sha256:1", ("0", "1"), {"accuracy": 0.9})
    assert client.get_model_version("mnist", "latest").version == 2
    assert client.get_model_version("mnist", "1") == found


def test_a_version_that_no_run_made_has_an_empty_run() -> None:
    make_version(run=None)
    assert training_client().get_model_version("mnist", "latest").run_id == ""


def test_all_versions_come_newest_first() -> None:
    make_version()
    make_version()
    make_version(is_ready=False)
    assert [v.version for v in training_client().list_model_versions("mnist").versions] == [2, 1]


def test_lineage_is_told() -> None:
    make_version()
    lineage = training_client().get_lineage("mnist", 1)
    assert (lineage.code_commit, lineage.seed, dict(lineage.packages)) == ("abc", 4, {"numpy": "2"})


def test_what_is_not_there_is_a_not_found_error() -> None:
    make_version()
    client = training_client()
    for model, reference in (("nope", "1"), ("mnist", "9"), ("mnist", "champion"), ("a/b", "latest")):
        with pytest.raises(NotFoundError):
            client.get_model_version(model, reference)
    with pytest.raises(NotFoundError):
        client.list_model_versions("nope")


def retrain(version: int = 1, key: str = "k1", **more: str) -> RunInfo:
    order = RetrainModel(model="mnist", version=version, idempotency_key=key, actor="alert rule", **more)
    return training_client().retrain(order)


def test_a_version_is_retrained_as_it_was_trained_on_its_own_data_and_more() -> None:
    before = make_version().run
    assert before is not None
    found = retrain(extra_data_uri="file:///labelled.npz")
    run = Run.objects.get(pk=found.run_id)
    assert run.data_uri == "all:digits|file:///labelled.npz"
    assert (run.recipe, run.parameters["epochs"], run.seed, run.deploy_endpoint) == (before.recipe, 3, before.seed, "")
    assert (found.state, found.is_ended, found.version) == ("queued", False, None)
    assert retrain(key="k2", data_uri="file:///other.npz").data_uri == "file:///other.npz"


def test_the_same_order_twice_is_one_run() -> None:
    make_version()
    first = retrain()
    assert (retrain().run_id, Run.objects.filter(idempotency_key="k1").count()) == (first.run_id, 1)


def test_what_was_imported_cannot_be_retrained() -> None:
    make_version(run=None)
    with pytest.raises(ConflictError, match="imported"):
        retrain()


def test_a_run_tells_its_version_once_that_is_ready() -> None:
    run = make_version().run
    assert run is not None
    found = training_client().get_run(str(run.pk))
    assert (found.has_succeeded, found.version) == (True, 1)
    assert [r.run_id for r in training_client().list_runs("mnist").runs] == [str(run.pk)]
    assert training_client().list_runs("nobody").runs == ()


def test_an_alias_is_moved_through_the_contract() -> None:
    make_version()
    make_version()
    for version in (1, 2, 2):
        order = SetAlias(model="mnist", alias="champion", version=version, actor="rollout 1")
        assert training_client().set_alias(order).version == version
    assert training_client().get_model_version("mnist", "champion").version == 2
