"""MLflow itself reads what is exported: from a folder of its file store, and from its own tracking server."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.clients.environments import ClientEnvironment, client_environment
from tests.e2e.clients.served import DIGITS
from tests.e2e.topology import Platform, free_port, wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("e2e"),
    pytest.mark.parametrize("serving", ["single"], indirect=True),
]


@pytest.fixture(scope="module")
def mlflow() -> ClientEnvironment:
    """Give MLflow in an environment of its own."""
    return client_environment("mlflow")


@pytest.fixture(scope="module")
def run_id(serving: Platform) -> str:
    """Give a run of two epochs that became a version."""
    runs = serving.get_json("/api/training/runs/?page_size=100")["results"]
    [run] = [run for run in runs if run["model_name"] == DIGITS]
    assert run["version"] == 1
    return str(run["id"])


@pytest.fixture(scope="module")
def tracking_server(mlflow: ClientEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of an MLflow server on loopback."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            [
                str(mlflow.folder / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
                "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
                "--artifacts-destination", str(folder / "artifacts"),
            ],
            cwd=folder, env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_up(url), within_s=180, what=lambda: (folder / "log.txt").read_text()[-2000:])
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # with its workers, which outlive it otherwise
        server.wait(30)


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def check(said: dict[str, Any]) -> None:
    assert (said["status"], said["params"]["epochs"], len(said["losses"])) == ("FINISHED", "2", 2)
    assert said["metrics"]["test_accuracy"] > 0.3
    (rows,) = said["answer"].values()
    assert [round(sum(row), 3) for row in rows] == [1.0, 1.0]
    assert said["flavors"] == ["onnx", "python_function"]
    assert said["artifacts"] == ["confusion_matrix.json", "model"]


def test_mlflow_reads_the_run_and_loads_the_model_from_a_folder(
    serving: Platform, mlflow: ClientEnvironment, run_id: str, tmp_path: Path
) -> None:
    serving.run_manage("train", "export-mlflow", run_id, "--to", str(tmp_path / "mlruns"))
    check(mlflow.run("mlflow_calls.py", str(tmp_path / "mlruns"), run_id))


def test_mlflows_server_takes_the_run_and_registers_the_model(
    serving: Platform, mlflow: ClientEnvironment, run_id: str, tracking_server: str
) -> None:
    serving.run_manage("train", "export-mlflow", run_id, "--to", tracking_server)
    said = mlflow.run("mlflow_calls.py", tracking_server, run_id)
    check(said)
    assert said["registered"] == ["1"]
