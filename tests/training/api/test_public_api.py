"""The REST API of runs and the registry, by its URLs."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from aiplatform.http.authentication import IdentityUser
from aiplatform.identity import Identity, Scope
from training.models import EpochMetrics, Run
from training.states import RunState

from ..factories import make_run, make_version
from ..stand_in import RECIPE

pytestmark = pytest.mark.django_db
ORDER = {"recipe": RECIPE, "data_uri": "digits", "model_name": "mnist", "parameters": {"epochs": 2}, "seed": 3}


def _client(*scopes: Scope) -> APIClient:
    client = APIClient()
    identity = Identity(username="ann", scopes=frozenset(scopes))
    client.force_authenticate(user=IdentityUser(identity), token=identity)  # type: ignore[arg-type]
    return client


@pytest.fixture
def api() -> APIClient:
    return _client(Scope.TRAIN)


def test_a_run_is_queued_with_typed_parameters_and_its_actor(api: APIClient) -> None:
    answer = api.post("/api/training/runs/", ORDER, format="json")
    assert answer.status_code == 201, answer.json()
    run = Run.objects.get()
    assert (run.state, run.requested_by, run.seed) == (RunState.QUEUED, "ann", 3)
    assert run.parameters["epochs"] == 2
    assert answer.json()["id"] == str(run.pk)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": "nope"}, "no recipe"),
        ({"parameters": {"epoch": 1}}, "did you mean"),
        ({"model_name": "A B"}, "model name"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_wrong_order_is_answered_400_and_queues_nothing(api: APIClient, change: dict[str, Any], words: str) -> None:
    answer = api.post("/api/training/runs/", {**ORDER, **change}, format="json")
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert not Run.objects.exists()


def test_runs_are_paged_and_filtered(api: APIClient) -> None:
    for state in (RunState.FAILED, RunState.SUCCEEDED, RunState.SUCCEEDED):
        make_run(state=state)
    page = api.get("/api/training/runs/", {"state": "succeeded", "page_size": "1"}).json()
    assert (page["count"], len(page["results"])) == (2, 1)


def test_a_run_is_found_by_the_first_characters_of_its_id(api: APIClient) -> None:
    run = make_run()
    assert api.get(f"/api/training/runs/{run.short_id}/").json()["id"] == str(run.pk)
    assert api.get("/api/training/runs/00000000/").status_code == 404
    assert api.get("/api/training/runs/x/").status_code == 400


def test_a_queued_run_is_cancelled_then_resumed(api: APIClient) -> None:
    run = make_run(attempts_left=1)
    assert api.post(f"/api/training/runs/{run.pk}/cancel/").json()["state"] == "cancelled"
    assert api.post(f"/api/training/runs/{run.pk}/cancel/").status_code == 409
    assert api.post(f"/api/training/runs/{run.pk}/resume/").json()["state"] == "queued"


def test_metrics_and_log_are_answered(api: APIClient, settings: Any, tmp_path: Any) -> None:
    settings.TRAINING_DIR = tmp_path
    run = make_run()
    EpochMetrics.objects.create(run=run, epoch=1, values={"loss": 0.5})
    assert api.get(f"/api/training/runs/{run.pk}/metrics/").json()[0]["values"] == {"loss": 0.5}
    assert api.get(f"/api/training/runs/{run.pk}/log/").json()["log"] is None
    (tmp_path / str(run.pk)).mkdir()
    (tmp_path / str(run.pk) / "log.txt").write_text("one\ntwo\nthree\n")
    assert api.get(f"/api/training/runs/{run.pk}/log/", {"lines": 2}).json()["log"] == "two\nthree"
    assert api.get(f"/api/training/runs/{run.pk}/log/", {"lines": 0}).status_code == 400


def test_recipes_come_with_their_parameters(api: APIClient) -> None:
    names = {recipe["name"] for recipe in api.get("/api/training/recipes/").json()}
    assert {"keras_cnn", "keras_tabular", "torch_cnn"} <= names
    parameters = api.get("/api/training/recipes/keras_cnn/").json()["parameters"]
    assert "epochs" in {parameter["name"] for parameter in parameters}


def test_models_versions_and_aliases(api: APIClient) -> None:
    make_version()
    make_version()
    assert api.get("/api/training/models/").json()["results"][0]["name"] == "mnist"
    assert [v["version"] for v in api.get("/api/training/models/mnist/versions/").json()["results"]] == [2, 1]
    assert api.put("/api/training/models/mnist/aliases/champion/", {"reference": "1"}).json()["version"] == 1
    assert api.get("/api/training/models/mnist/versions/champion/").json()["lineage"]["seed"] == 4
    assert api.get("/api/training/models/mnist/aliases/").json()["results"][0]["changed_by"] == "ann"
    assert api.delete("/api/training/models/mnist/aliases/champion/").status_code == 204
    assert api.get("/api/training/models/mnist/versions/champion/").status_code == 404
    assert api.put("/api/training/models/mnist/aliases/latest/", {"reference": "1"}).status_code == 400
    assert api.patch("/api/training/models/mnist/", {"description": "Digits"}).json()["description"] == "Digits"


def test_the_monitor_scope_may_look_and_not_change() -> None:
    watcher = _client(Scope.MONITOR)
    assert watcher.get("/api/training/runs/").status_code == 200
    assert watcher.post("/api/training/runs/", ORDER, format="json").status_code == 403
    assert _client(Scope.PREDICT).get("/api/training/runs/").status_code == 403
