"""Sends a run to an MLflow tracking server over its REST API; MLflow itself is not needed here.

Source: MLflow's documentation, "REST API" (version 2.0 of it, which servers 2 and 3 answer).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from aiplatform.errors import InvalidInputError, UnavailableError
from training.mlflow.record import MODEL, MlflowRun, describe_run, write_artifacts
from training.models import Run

TIMEOUT_S = 60.0
MOST_METRICS, MOST_OTHERS = 1000, 100  # of one batch
_PROXIED = "mlflow-artifacts:"
_API = "/api/2.0/mlflow"

Item = TypeVar("Item")


def export_to_server(run: Run, uri: str, *, client: httpx.Client | None = None) -> tuple[str, list[str]]:
    """Send a run with its artifacts; return the server's page of it and sentences on what was left out.

    Its model becomes the next version of the registered model of the same name.
    Raises: ConflictError if the run has not ended; UnavailableError if the server cannot be reached or fails;
    InvalidInputError with its words if it refuses.
    """
    described = describe_run(run)
    with tempfile.TemporaryDirectory(prefix="mlflow-") as name:
        folder = Path(name)
        left_out = write_artifacts(run, folder)
        with client or httpx.Client(base_url=uri.rstrip("/"), timeout=TIMEOUT_S) as opened:
            server = _Server(opened)
            experiment = server.experiment(described.experiment)
            made = server.create_run(experiment, described)
            server.log(made["run_id"], described)
            not_sent = server.upload(made["artifact_uri"], folder)
            left_out += not_sent
            if (folder / MODEL / "MLmodel").exists() and not not_sent:
                server.register(described.experiment, made)
            server.end(made["run_id"], described)
    return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{made['run_id']}", left_out


class _Server:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def experiment(self, name: str) -> str:
        """Return the experiment's number, made if there is none."""
        found = self._call("GET", "/experiments/get-by-name", params={"experiment_name": name}, may_be_missing=True)
        if found:
            return str(found["experiment"]["experiment_id"])
        return str(self._call("POST", "/experiments/create", json={"name": name})["experiment_id"])

    def create_run(self, experiment: str, described: MlflowRun) -> dict[str, Any]:
        """Return the new run's `run_id` and `artifact_uri`."""
        order = {
            "experiment_id": experiment, "run_name": described.name, "start_time": described.started_ms,
            "user_id": described.user, "tags": _pairs(described.tags),
        }  # fmt: skip
        info: dict[str, Any] = self._call("POST", "/runs/create", json=order)["run"]["info"]
        return info

    def log(self, run_id: str, described: MlflowRun) -> None:
        """Send parameters and metrics."""
        for some in _batches(_pairs(described.parameters), MOST_OTHERS):
            self._call("POST", "/runs/log-batch", json={"run_id": run_id, "params": some})
        metrics = [{"key": m.key, "value": m.value, "timestamp": m.at_ms, "step": m.step} for m in described.metrics]
        for batch in _batches(metrics, MOST_METRICS):
            self._call("POST", "/runs/log-batch", json={"run_id": run_id, "metrics": batch})

    def upload(self, artifact_uri: str, folder: Path) -> list[str]:
        """Send a folder's files through the server, if that is how it takes artifacts."""
        if not artifact_uri.startswith(_PROXIED):
            return [f"the server takes no artifacts by HTTP ({artifact_uri}); start it with --serve-artifacts"]
        root = artifact_uri.removeprefix(_PROXIED).lstrip("/")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                place = quote(f"{root}/{path.relative_to(folder).as_posix()}")
                self._send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}", content=path.read_bytes())
        return []

    def register(self, name: str, made: Mapping[str, Any]) -> None:
        """Make the run's model the next version of a registered model."""
        if not self._call("GET", "/registered-models/get", params={"name": name}, may_be_missing=True):
            self._call("POST", "/registered-models/create", json={"name": name})
        source = f"{made['artifact_uri']}/{MODEL}"
        order = {"name": name, "source": source, "run_id": made["run_id"]}
        self._call("POST", "/model-versions/create", json=order)

    def end(self, run_id: str, described: MlflowRun) -> None:
        """Say how and when the run ended."""
        order = {"run_id": run_id, "status": described.status, "end_time": described.ended_ms}
        self._call("POST", "/runs/update", json=order)

    def _call(self, method: str, path: str, *, may_be_missing: bool = False, **content: Any) -> dict[str, Any]:
        answer = self._send(method, f"{_API}{path}", may_be_missing=may_be_missing, **content)
        if answer is None:
            return {}
        said: dict[str, Any] = answer.json()
        return said

    def _send(self, method: str, path: str, *, may_be_missing: bool = False, **content: Any) -> httpx.Response | None:
        try:
            answer = self._client.request(method, path, **content)
        except httpx.HTTPError as error:
            raise UnavailableError(f"MLflow at {self._client.base_url} cannot be reached: {error}") from error
        if answer.status_code == httpx.codes.NOT_FOUND and may_be_missing:
            return None
        if answer.is_success:
            return answer
        words = f"MLflow answered {method} {path} with {answer.status_code}: {answer.text[:300]}"
        raise InvalidInputError(words) if answer.is_client_error else UnavailableError(words)


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in values.items()]


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
