"""What is written and sent for MLflow; tests/e2e/clients has MLflow itself read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiplatform.errors import ConflictError, InvalidConfigurationError, InvalidInputError, UnavailableError
from training.mlflow import record
from training.mlflow.server import MOST_METRICS, export_to_server
from training.mlflow.store import experiment_id, export_to_folder
from training.models import EpochMetrics, ModelVersion, Run, RunEvaluation
from training.states import RunState

from ..factories import LINEAGE, make_run, make_version

pytestmark = pytest.mark.django_db

SIGNATURE = {
    "inputs": [{"name": "image", "dtype": "FP32", "shape": [-1, 8, 8, 1]}],
    "outputs": [{"name": "probabilities", "dtype": "FP32", "shape": [-1, 2]}],
}


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    """Return a version of a run with two epochs; its conversion to ONNX is played."""

    def convert(*, model_name: str, reference: str, wish: Any) -> None:
        wish.target.parent.mkdir(parents=True)
        wish.target.write_bytes(b"onnx")

    monkeypatch.setattr(record, "export_converted", convert)
    run = make_run(state=RunState.SUCCEEDED, notes="good", parameters={"epochs": 2})
    for epoch in (1, 2):
        EpochMetrics.objects.create(run=run, epoch=epoch, values={"loss": 1 / epoch, "val_loss": None})
    RunEvaluation.objects.create(run=run, labels=["0", "1"], confusion_matrix=[[5, 1], [0, 6]])
    return make_version(run=run, manifest={"labels": ["0", "1"], "lineage": LINEAGE, "signature": SIGNATURE})


def run_of(version: ModelVersion) -> Run:
    assert version.run is not None
    return version.run


def test_a_folder_has_what_mlflows_file_store_has(version: ModelVersion, tmp_path: Path) -> None:
    run = run_of(version)
    folder, left_out = export_to_folder(run, tmp_path / "mlruns")
    assert left_out == []
    assert folder == tmp_path / "mlruns" / experiment_id("mnist") / run.id.hex
    assert (folder / "params" / "epochs").read_text() == "2"
    assert (folder / "tags" / "mlflow.note.content").read_text() == "good"
    lines = (folder / "metrics" / "loss").read_text().splitlines()
    assert [line.split()[1:] for line in lines] == [["1.0", "1"], ["0.5", "2"]]
    assert not (folder / "metrics" / "val_loss").exists()
    assert (folder / "metrics" / "test_accuracy").read_text().split()[1] == "0.9"
    meta = json.loads((folder / "meta.yaml").read_text())
    assert (meta["run_id"], meta["status"], meta["artifact_uri"]) == (run.id.hex, 3, f"file://{folder}/artifacts")
    ml_model = json.loads((folder / "artifacts/model/MLmodel").read_text())
    assert json.loads(ml_model["signature"]["inputs"])[0]["tensor-spec"] == {"dtype": "float32", "shape": [-1, 8, 8, 1]}
    assert json.loads((folder / "artifacts/confusion_matrix.json").read_text())["counts"] == [[5, 1], [0, 6]]
    with pytest.raises(ConflictError, match="exported before"):
        export_to_folder(run, tmp_path / "mlruns")
    assert not list(folder.parent.glob(".*"))


def test_a_model_without_a_way_to_onnx_goes_as_it_is_and_says_so(
    version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise InvalidConfigurationError("no way from numpy to onnx")

    monkeypatch.setattr(record, "export_converted", refuse)
    monkeypatch.setattr(record, "export_version", lambda folder, **_: folder.mkdir(parents=True))
    folder, left_out = export_to_folder(run_of(version), tmp_path)
    assert "no way from numpy" in left_out[0]
    assert (folder / "artifacts/model/artifact").is_dir()
    assert not (folder / "artifacts/model/MLmodel").exists()


def test_a_failed_run_has_no_model_and_a_running_one_is_refused(tmp_path: Path) -> None:
    folder, left_out = export_to_folder(make_run(state=RunState.FAILED, exit_message="NaN"), tmp_path)
    assert left_out == ["the run has no version, so there is no model"]
    assert json.loads((folder / "meta.yaml").read_text())["status"] == 4
    with pytest.raises(ConflictError, match="is running; only one that has ended"):
        export_to_folder(make_run(state=RunState.RUNNING), tmp_path)


class Server:
    """Plays a tracking server: remembers what it is sent."""

    def __init__(self, artifact_uri: str = "mlflow-artifacts:/7/r/artifacts") -> None:
        self.calls: list[tuple[str, Any]] = []
        self._artifact_uri = artifact_uri

    def client(self) -> httpx.Client:
        return httpx.Client(base_url="http://mlflow", transport=httpx.MockTransport(self._answer))

    def sent(self, path: str) -> list[Any]:
        return [body for called, body in self.calls if called.endswith(path)]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        is_file = "mlflow-artifacts" in path
        self.calls.append((path, request.content if is_file else json.loads(request.content or b"{}")))
        if path.endswith(("get-by-name", "registered-models/get")):
            return httpx.Response(404)
        if path.endswith("experiments/create"):
            return httpx.Response(200, json={"experiment_id": "7"})
        if path.endswith("runs/create"):
            return httpx.Response(200, json={"run": {"info": {"run_id": "r", "artifact_uri": self._artifact_uri}}})
        return httpx.Response(200, json={})


def test_a_server_is_told_all_in_batches_and_gets_the_model(version: ModelVersion) -> None:
    run = run_of(version)
    rows = [EpochMetrics(run=run, epoch=e, values={"loss": 0.1}) for e in range(3, 3 + MOST_METRICS)]
    EpochMetrics.objects.bulk_create(rows)
    server = Server()
    place, left_out = export_to_server(run, "http://mlflow/", client=server.client())
    assert (place, left_out) == ("http://mlflow/#/experiments/7/runs/r", [])
    batches = server.sent("log-batch")
    assert [len(batch.get("metrics", ())) for batch in batches] == [0, MOST_METRICS, 3]
    assert {"key": "epochs", "value": "2"} in batches[0]["params"]
    assert server.sent("/7/r/artifacts/model/model.onnx") == [b"onnx"]
    assert server.sent("model-versions/create")[0]["source"] == "mlflow-artifacts:/7/r/artifacts/model"
    assert server.sent("runs/update")[0]["status"] == "FINISHED"


def test_a_server_that_keeps_artifacts_elsewhere_gets_none_and_it_is_said(version: ModelVersion) -> None:
    server = Server("s3://bucket/7/r/artifacts")
    _, left_out = export_to_server(run_of(version), "http://mlflow", client=server.client())
    assert "--serve-artifacts" in left_out[0]
    assert server.sent("model-versions/create") == []


@pytest.mark.parametrize(("status", "error"), [(400, InvalidInputError), (500, UnavailableError)])
def test_a_servers_refusal_is_told(version: ModelVersion, status: int, error: type[Exception]) -> None:
    client = httpx.Client(
        base_url="http://mlflow", transport=httpx.MockTransport(lambda _: httpx.Response(status, text="no such thing"))
    )
    with pytest.raises(error, match=f"with {status}: no such thing"):
        export_to_server(run_of(version), "http://mlflow", client=client)
