"""The platform as real processes: all roles in one, or each role on its own port.

The split stands on a real PostgreSQL and a real Redis, and shares with its parts only these,
the artifact store and HTTP: each role has a data folder of its own.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
ADMIN_USER = "admin"
ADMIN_PASSWORD = "a-long-password"
DATABASE_FILE = "aiplatform.sqlite3"
SPLIT_ROLES = {
    "gateway": "gateway",
    "training": "training",
    "inference": "inference",
    "monitoring": "monitoring",
    "console": "console",
}


def free_port() -> int:
    """Return a TCP port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(is_true: Callable[[], Any], *, within_s: float, what: str | Callable[[], str]) -> Any:
    """Poll until the call returns something true, and return it; fail when the time is over."""
    deadline_s = time.monotonic() + within_s
    while True:
        found = is_true()
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s} s: {what() if callable(what) else what}")
        time.sleep(0.1)


@dataclass
class Server:
    """One `manage.py serve`."""

    name: str
    env: dict[str, str]
    bind: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"http://{self.bind}"

    def start(self) -> None:
        """Start it; does not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"], cwd=ROOT, env=self.env, stdout=log, stderr=log
            )

    def is_ready(self) -> bool:
        """Say whether it answers that it is ready."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} has ended:\n{self.tail()}"
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def ask_to_stop(self) -> None:
        """Send it SIGTERM."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait_for_end(self) -> None:
        """Wait until it has ended; kill what does not end."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tail(self, lines: int = 40) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _not_ready(server: Server) -> str:
    return f"{server.name} is ready\n{server.tail()}"


@dataclass
class Platform:
    """A running platform as its users see it."""

    kind: str
    folder: Path
    servers: dict[str, Server]
    manage_env: dict[str, str]
    token: str = ""
    grpc_address: str = ""
    admin_user: str = ADMIN_USER
    admin_password: str = ADMIN_PASSWORD
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = httpx.Client(timeout=30, trust_env=False)

    @property
    def url(self) -> str:
        """Return where clients go: the gateway."""
        return (self.servers.get("gateway") or self.servers["all"]).url

    @property
    def console_url(self) -> str:
        """Return where people go: the console."""
        return (self.servers.get("console") or self.servers["all"]).url

    def run_manage(self, *args: str, check: bool = True, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` as an operator on the training machine would."""
        return self._manage(self.manage_env, args, check=check, timeout_s=timeout_s)

    def run_manage_gateway(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` as an operator on the gateway's machine would."""
        server = self.servers.get("gateway") or self.servers["all"]
        return self._manage(server.env, args, check=True, timeout_s=60)

    def _manage(
        self, env: dict[str, str], args: tuple[str, ...], *, check: bool, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert not check or done.returncode == 0, f"manage.py {' '.join(args)}:\n{done.stdout}\n{done.stderr}"
        return done

    def request(self, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
        """Send a request to the gateway, with the platform's token unless another (or '') is given."""
        secret = self.token if token is None else token
        headers = {**options.pop("headers", {}), **({"Authorization": f"Bearer {secret}"} if secret else {})}
        return self._client.request(method, f"{self.url}{path}", headers=headers, **options)

    def get_json(self, path: str, **options: Any) -> Any:
        """Return the JSON at a path; fail on any other status than 200."""
        response = self.request("GET", path, **options)
        assert response.status_code == 200, f"GET {path}: {response.status_code} {response.text[:500]}"
        return response.json()

    def post_json(self, path: str, body: Any) -> Any:
        """Return the JSON answer to a POST; fail unless it is 2xx."""
        response = self.request("POST", path, json=body)
        assert response.is_success, f"POST {path}: {response.status_code} {response.text[:500]}"
        return response.json()

    def start(self) -> None:
        """Start every server and wait until all are ready."""
        for server in self.servers.values():
            server.start()
        for server in self.servers.values():
            wait_until(server.is_ready, within_s=240, what=functools.partial(_not_ready, server))

    def stop(self) -> dict[str, float]:
        """Stop every server at once; return the seconds that each took."""
        self._client.close()
        self._client = httpx.Client(timeout=30, trust_env=False)
        started_s = time.monotonic()
        for server in self.servers.values():
            server.ask_to_stop()
        took_s = {}
        for name, server in self.servers.items():
            server.wait_for_end()
            took_s[name] = time.monotonic() - started_s
        return took_s


def base_env(folder: Path, data_dir: Path) -> dict[str, str]:
    """Return the environment that all processes of a platform under test share."""
    own = {"DJANGO_SETTINGS_MODULE", "DATA_DIR", "AIPLATFORM_ROLES", "MACHINE_CODE"}  # what was built is tested
    keep = {name: value for name, value in os.environ.items() if name not in own}
    return {
        **keep,
        "SECRET_KEY": "secret-key-of-the-platform-under-test",
        "INTERNAL_SECRETS": "internal-secret-of-the-platform-under-test",
        "DATA_DIR": str(data_dir),
        "ARTIFACT_STORE": f"file://{folder}/artifacts",
        "LOG_LEVEL": "INFO",
        "COMPILE_ENGINES": "0",
        "ALERT_INTERVAL_S": "1",
        "PYTHONWARNINGS": "default",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def prepare(env: dict[str, str]) -> str:
    """Migrate, make the administrator, and return a token with every scope."""

    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.prepare", ADMIN_USER],
        cwd=ROOT,
        env={**env, "DJANGO_SUPERUSER_PASSWORD": ADMIN_PASSWORD},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return str(json.loads(done.stdout.strip().splitlines()[-1])["token"])


@functools.cache
def _prepared_database() -> tuple[Path, str]:
    """Return a migrated SQLite file with the administrator, made once a process, and the token that it knows."""
    folder = Path(tempfile.mkdtemp(prefix="aiplatform-e2e-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    token = prepare(base_env(folder, folder))
    return folder / DATABASE_FILE, token


def single(folder: Path, **settings: str) -> Platform:
    """Return a platform of one process tree on SQLite, with further settings; not started."""
    port = free_port()
    env = {**base_env(folder, folder / "data"), **settings}
    (folder / "data").mkdir(parents=True)
    database, token = _prepared_database()
    shutil.copy(database, folder / "data" / DATABASE_FILE)
    bind = f"127.0.0.1:{port}"
    grpc_address = f"127.0.0.1:{free_port()}"
    server = Server("all", {**env, "BIND": bind, "GRPC_BIND": grpc_address}, bind, folder / "serve.log")
    return Platform("single", folder, {"all": server}, env, token, grpc_address)


def split(folder: Path, *, database_url: str, redis_url: str) -> Platform:
    """Return a platform of one process tree a role, on PostgreSQL and Redis; not started."""
    ports = {name: free_port() for name in SPLIT_ROLES}
    urls = {
        f"{name.upper()}_URL": f"http://127.0.0.1:{ports[name]}" for name in ("training", "inference", "monitoring")
    }
    shared = {**base_env(folder, folder), "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    token = prepare(shared)
    servers = {}
    grpc = {name: f"127.0.0.1:{free_port()}" for name in ("gateway", "inference")}
    for name, roles in SPLIT_ROLES.items():
        data_dir = folder / name
        data_dir.mkdir(parents=True)
        bind = f"127.0.0.1:{ports[name]}"
        others = {key: value for key, value in urls.items() if key != f"{name.upper()}_URL"}
        env = {**shared, **others, "AIPLATFORM_ROLES": roles, "DATA_DIR": str(data_dir), "BIND": bind}
        if name in grpc:
            env |= {"GRPC_BIND": grpc[name], "INFERENCE_GRPC_URL": grpc["inference"]}
        servers[name] = Server(name, env, bind, folder / f"{name}.log")
    manage_env = dict(servers["training"].env)
    return Platform("split", folder, servers, manage_env, token, grpc["gateway"])


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL on a random port; give its URL."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    port = free_port()
    as_user: list[str] = []
    folder.mkdir(parents=True)
    if os.getuid() == 0:  # the server refuses to run as root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    subprocess.run(
        [*as_user, str(binaries / "initdb"), "-A", "trust", "-N", "-U", "postgres", "-D", str(data)],
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*as_user, str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", "", "-h", "127.0.0.1",
             "-c", "max_connections=200", "-c", "fsync=off"],
            stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
    try:
        wait_until(lambda: _accepts(port), within_s=30, what="PostgreSQL accepts connections")
        time.sleep(0.2)
        yield f"postgres://postgres@127.0.0.1:{port}/postgres"
    finally:
        _end(process, signal.SIGINT)


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Run a Redis on a random port; give its URL."""
    port = free_port()
    folder.mkdir(parents=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", str(folder)],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until(lambda: _accepts(port), within_s=30, what="Redis accepts connections")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        _end(process, signal.SIGTERM)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    process.send_signal(number)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
