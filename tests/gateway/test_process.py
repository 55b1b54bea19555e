"""A gateway as a process of its own: real gunicorn, real commands, a database that goes away."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.support import LocalServer, Seen, local_server

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
MAX_RSS_MIB = 120
FORBIDDEN = ("tensorflow", "keras", "torch", "pandas", "pyarrow", "sklearn", "numpy", "datasketches", "scipy", "PIL")
PREDICT = "/v1/models/digits:predict"


@dataclass
class GatewayProcess:
    """A gateway-only process before one address that plays all services."""

    env: dict[str, str]
    folder: Path
    port: int
    behind: LocalServer
    client: httpx.Client
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "gunicorn.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "python:aiplatform.gunicorn_conf",
                 "--bind", f"127.0.0.1:{self.port}", "aiplatform.asgi:application"],
                cwd=ROOT, env=self.env, stdout=log, stderr=log,
            )  # fmt: skip
        poll(lambda: self.get("/health/live") is not None, within_s=30, what="the gateway answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=20)

    def get(self, path: str) -> httpx.Response | None:
        try:
            return self.client.get(f"http://127.0.0.1:{self.port}{path}")
        except httpx.TransportError:
            return None

    def predict(self, secret: str) -> httpx.Response:
        return self.client.post(
            f"http://127.0.0.1:{self.port}{PREDICT}", content=b'{"instances":[1]}',
            headers={"Authorization": f"Bearer {secret}", "X-Request-Id": "req-1"},
        )  # fmt: skip

    def manage(self, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *args], cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def worker_rss_mib(self) -> float:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        status = Path(f"/proc/{children[0]}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def poll(is_true: Callable[[], Any], *, within_s: float, what: str) -> float:
    started_s = time.monotonic()
    while not is_true():
        assert time.monotonic() - started_s < within_s, f"not within {within_s} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - started_s


def predicted(request: Seen) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps({"path": request.path}).encode()


def environment(folder: Path, url: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("DJANGO_SETTINGS_MODULE", "REDIS_URL")}
    return {
        **kept, "AIPLATFORM_ROLES": "gateway", "TRAINING_URL": url, "INFERENCE_URL": url, "MONITORING_URL": url,
        "SECRET_KEY": "a-secret-key-for-this-test-alone", "INTERNAL_SECRETS": "an-internal-secret-of-32-characters",
        "DATA_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3", "LOG_LEVEL": "WARNING",
    }  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with local_server(predicted) as behind, httpx.Client(trust_env=False, timeout=10) as client:
        gateway = GatewayProcess(environment(folder, behind.url), folder, port, behind, client)
        gateway.manage("migrate", "--verbosity", "0")
        gateway.env["DJANGO_SUPERUSER_PASSWORD"] = "a-long-password"
        gateway.manage("createsuperuser", "--noinput", "--username", "root", "--email", "root@example.invalid")
        gateway.start()
        try:
            yield gateway
        finally:
            gateway.stop()


def make_token(gateway: GatewayProcess) -> dict[str, Any]:
    scopes = ("--scope", "predict", "--scope", "train")
    made: dict[str, Any] = json.loads(gateway.manage("tokens", "create", "root", "--name", "t", *scopes, "--json"))
    return made


@pytest.fixture(scope="module")
def secret(gateway: GatewayProcess) -> str:
    made = str(make_token(gateway)["token"])
    poll(lambda: gateway.predict(made).status_code == 200, within_s=10, what="a token just made is known")
    return made


def test_a_gateway_imports_no_learning_framework_and_no_numpy(tmp_path: Path) -> None:
    script = "import aiplatform.asgi, aiplatform.urls, sys; print(','.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(tmp_path, "http://127.0.0.1:1"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [name for name in FORBIDDEN if name in done.stdout.strip().split(",")] == []


def test_a_gateway_that_passes_grpc_on_imports_grpc_alone_and_one_that_does_not_not_even_that(tmp_path: Path) -> None:
    def imported(script: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", f"import aiplatform.asgi, sys; {script}; print(','.join(sys.modules))"], cwd=ROOT,
            env={**environment(tmp_path, "http://127.0.0.1:1"), "INFERENCE_GRPC_URL": "127.0.0.1:1"},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return set(done.stdout.strip().split(","))

    assert "grpc" not in imported("pass")
    served = imported("import aiplatform.rpc.server, aiplatform.rpc.chain as chain; chain.build_call_chain()")
    assert "grpc" in served
    assert not served & {*FORBIDDEN, "google.protobuf"}


def test_a_token_made_by_a_command_works_at_once_and_stops_within_5_s_of_its_revocation(
    gateway: GatewayProcess,
) -> None:
    made = make_token(gateway)
    reply = gateway.predict(made["token"])
    assert (reply.status_code, reply.json()) == (200, {"path": PREDICT})
    assert reply.headers["x-request-id"] == "req-1"
    gateway.manage("tokens", "revoke", str(made["id"]))
    poll(lambda: gateway.predict(made["token"]).status_code == 401, within_s=5, what="the token is refused")


def test_rest_calls_go_on_with_the_identity_and_internal_paths_do_not(gateway: GatewayProcess, secret: str) -> None:
    headers = {"Authorization": f"Token {secret}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", trust_env=False, headers=headers) as client:
        assert client.post("/api/training/runs/", json={"x": 1}).json() == {"path": "/api/training/runs/"}
        assert client.get("/api/training/runs/", headers={"Authorization": ""}).status_code == 401
        behind = len(gateway.behind.seen)
        paths = [seen.path for seen in gateway.behind.seen]
        assert client.get("/internal/training/models/digits/versions").status_code == 404
        assert not [path for path in paths if path.startswith("/internal")]
        assert [s.path for s in gateway.behind.seen[behind:] if s.path != "/health/ready"] == []


def test_it_stays_small_after_serving(gateway: GatewayProcess, secret: str) -> None:
    for _ in range(200):
        assert gateway.predict(secret).status_code == 200
    rss_mib = gateway.worker_rss_mib()
    print(f"gateway worker: {rss_mib:.1f} MiB")
    assert rss_mib < MAX_RSS_MIB


def test_its_metrics_count_by_route_and_status(gateway: GatewayProcess) -> None:
    gateway.predict("wrong")
    page = gateway.get("/metrics")
    assert page is not None
    assert 'aiplatform_gateway_requests_total{route="predict",status="401"}' in page.text
    assert "aiplatform_gateway_request_duration_seconds_bucket" in page.text


def test_with_the_database_gone_known_tokens_work_and_a_restarted_gateway_says_503(
    gateway: GatewayProcess, secret: str
) -> None:
    assert gateway.predict(secret).status_code == 200
    database = gateway.folder / "db.sqlite3"
    for path in gateway.folder.glob("db.sqlite3*"):
        path.unlink()
    database.mkdir()  # nothing can be opened there any more

    def readiness() -> Any:
        page = gateway.get("/health/ready")
        return page.json()["parts"]["gateway"] if page is not None else {}

    poll(lambda: "identities_error" in readiness(), within_s=10, what="readiness says that the database is away")
    assert readiness()["is_ready"] is True
    assert gateway.predict(secret).status_code == 200
    gateway.stop()
    gateway.start()
    reply = gateway.predict(secret)
    assert reply.status_code == 503
    assert "no token can be checked" in reply.json()["error"]
    ready = gateway.get("/health/ready")
    assert ready is not None
    assert ready.status_code == 503
