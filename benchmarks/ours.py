"""The platform as a contender: `manage.py serve` with everything on, prepared as an operator would.

`all` is one process tree with all roles. `split` is a gateway's process tree in front of another with
the other roles; its target is the gateway, and `direct_target` goes past it with a signature of our own.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import httpx

from aiplatform.machine_code.loader import look
from benchmarks.bodies import Body
from benchmarks.contenders import Conditions, Target
from benchmarks.model import NAME
from benchmarks.processes import Server, ServerError, free_port

ROOT = Path(__file__).resolve().parent.parent
USER = "benchmark"
START_WITHIN_S = 120.0
UNLIMITED = "1000000000/s"  # the limit is counted, and never reached
PACKAGES = ("gunicorn", "numpy", "tensorflow", "onnxruntime", "ai-edge-litert", "orjson")
FORMS = {"json": "v1-json", "json-v2": "v2-json", "binary": "v2-binary", "grpc": "grpc"}
# What can be turned off to see what it costs: the settings that do it.
SWITCHES: dict[str, dict[str, str]] = {"capture": {"RECORD_PREDICTIONS": "0"}, "metrics": {"COUNT_REQUESTS": "0"}}
# The artifact's own engine instead of the fastest that was proven equal, and no time spent on finding that.
NATIVE = {"ENGINE": "native", "COMPILE_ENGINES": "0"}


def require_switch(name: str) -> dict[str, str]:
    """Return the settings that turn a part off.

    Raises: SystemExit if the platform has no such setting.
    """
    known = (ROOT / "docs" / "settings.md").read_text()
    settings = SWITCHES.get(name, {})
    missing = [setting for setting in settings if f"`{setting}`" not in known]
    if missing or not settings:
        sys.exit(f"'{name}' cannot be turned off: the platform has no setting {', '.join(missing) or 'for it'}")
    return settings


class Platform:
    """The platform on a database and an artifact store of its own, below one folder."""

    def __init__(
        self,
        conditions: Conditions,
        *,
        layout: str = "all",
        settings: Mapping[str, str] | None = None,
        models: Sequence[str] = (NAME,),
        versions: int = 1,
        name: str = "ours",
    ) -> None:
        self.name = name
        self.title = "aiplatform" if layout == "all" else "aiplatform, split"
        self._layout, self._models, self._versions = layout, models, versions
        self._conditions = conditions
        self._folder = conditions.scratch / name
        self._secret = secrets.token_hex(16)
        self._ports = {part: free_port() for part in ("front", "front_grpc", "back", "back_grpc")}
        native = NATIVE if conditions.engine == "tensorflow" else {}
        self._env = self._base_env() | native | dict(settings or {})
        self._servers: list[Server] = []
        self._is_deployed = False
        self.token = ""

    @property
    def servers(self) -> Sequence[Server]:
        """Return what was started."""
        return self._servers

    @property
    def url(self) -> str:
        """Return the address of the gateway."""
        return f"http://127.0.0.1:{self._ports['front']}"

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that let a request in."""
        return {"Authorization": f"Bearer {self.token}"}

    def prepare(self) -> None:
        """Make database, token, versions and endpoints; once, before the first start."""
        self._folder.mkdir(parents=True)
        self.manage("migrate", "--verbosity", "0")
        self.manage(
            "createsuperuser", "--noinput", "--username", USER, "--email", "benchmark@example.invalid",
            DJANGO_SUPERUSER_PASSWORD=secrets.token_urlsafe(16),
        )  # fmt: skip
        scopes = [word for scope in ("predict", "monitor", "admin") for word in ("--scope", scope)]
        limits = ["--predict-rate", UNLIMITED, "--api-rate", UNLIMITED]
        made = self.manage("tokens", "create", USER, "--name", "benchmark", *scopes, *limits, "--json")
        self.token = str(json.loads(made.strip().splitlines()[-1])["token"])
        names = [word for model in self._models for word in ("--name", model)]
        count = ["--versions", str(self._versions)]
        self._python("-m", "benchmarks.register", str(self._conditions.model), *names, *count)
        self._compile()

    def start(self) -> None:
        """Start it and return once every endpoint answers; raises ServerError."""
        if not self.token:
            self.prepare()
        back = {**self._env, "AIPLATFORM_ROLES": "all", **self._binds("front")}
        if self._layout == "split":
            back = {**self._env, "AIPLATFORM_ROLES": "training,inference,monitoring", **self._binds("back")}
            self._serve("inference", back)
            address = f"http://127.0.0.1:{self._ports['back']}"
            urls = {f"{app}_URL": address for app in ("TRAINING", "INFERENCE", "MONITORING")}
            urls["INFERENCE_GRPC_URL"] = f"127.0.0.1:{self._ports['back_grpc']}"
            self._serve("gateway", {**self._env, "AIPLATFORM_ROLES": "gateway", **self._binds("front"), **urls})
        else:
            self._serve("platform", back)
        for server in self._servers:
            server.wait_until(self._is_known, within_s=START_WITHIN_S)
        if not self._is_deployed:
            for model in self._models:
                self.call("POST", f"/api/inference/endpoints/{model}/deploy/", {"model": model, "reference": "1"})
            self._is_deployed = True
        for server in self._servers:
            server.wait_until(self._is_serving, within_s=START_WITHIN_S)

    def stop(self) -> None:
        """End everything that was started."""
        for server in reversed(self._servers):
            server.stop()
        self._servers = []

    def target(self, protocol: str) -> Target | None:
        """Return where a protocol's requests go."""
        form = FORMS.get(protocol)
        if form is None:
            return None
        if form == "grpc":
            # The names of gRPC's metadata are lower case.
            headers = {name.lower(): value for name, value in self.headers.items()}
            return Target(address=f"127.0.0.1:{self._ports['front_grpc']}", form=form, headers=headers)
        return Target(address=self.url + _path(form, NAME), form=form, headers=self.headers)

    def direct_target(self, protocol: str) -> Target | None:
        """Return the same past the gateway, signed as the gateway would; a signature is good for some minutes."""
        form = FORMS.get(protocol)
        if form is None or form == "grpc":
            return None
        path = _path(form, NAME)
        return Target(
            address=f"http://127.0.0.1:{self._ports['back']}{path}",
            form=form,
            sign=lambda body: _signature(self._secret, path, body),
        )

    def views(self) -> list[PastGateway]:
        """Return the other ways in to the same processes."""
        return [PastGateway(self)] if self._layout == "split" else []

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that matter."""
        found = {}
        for package in PACKAGES:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
        is_compiled = look().is_used and self._env.get("MACHINE_CODE") != "0"
        return found | {"machine code:": "yes" if is_compiled else "no"}

    def manage(self, *arguments: str, **env: str) -> str:
        """Run a management command and return what it printed.

        Raises: ServerError with the command's own words.
        """
        return self._python("manage.py", *arguments, **env)

    def is_current(self, endpoint: str) -> bool:
        """Say whether as many replicas as there are workers serve every version that has traffic."""
        found = self.call("GET", f"/api/inference/endpoints/{endpoint}/")
        wanted = {share["version"] for share in found["traffic"] if share["weight"] > 0}
        ready: dict[str, set[int]] = {replica["replica"]: set() for replica in found["replicas"]}
        for replica in found["replicas"]:
            if replica["state"] == "ready":
                ready[replica["replica"]].add(replica["version"])
        return len(ready) >= self._conditions.workers and all(wanted <= versions for versions in ready.values())

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON answer of the REST API.

        Raises: ServerError if it is not 2xx.
        """
        reply = httpx.request(method, self.url + path, json=body, headers=self.headers, timeout=60, trust_env=False)
        if not reply.is_success:
            raise ServerError(f"{method} {path}: {reply.status_code} {reply.text[:300]}")
        return reply.json()

    def set_traffic(self, endpoint: str, shares: Mapping[int, int]) -> None:
        """Order which versions answer, and in which shares (whole percents)."""
        traffic = [{"version": version, "weight": weight} for version, weight in shares.items()]
        self.call("POST", f"/api/inference/endpoints/{endpoint}/traffic/", {"traffic": traffic, "reason": "benchmark"})

    def arbiter_pid(self) -> int:
        """Return the process id of the arbiter over the HTTP workers."""
        for pid in self._servers[0].pids():
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if b"gunicorn" in command and parent == self._servers[0].pid:
                return pid
        raise ServerError("no gunicorn arbiter is running")

    def restart_workers(self) -> None:
        """Have the arbiter replace its workers gracefully (SIGHUP)."""
        os.kill(self.arbiter_pid(), signal.SIGHUP)

    def end_one_worker(self) -> None:
        """Ask one HTTP worker to end (SIGTERM); the arbiter starts another."""
        arbiter = self.arbiter_pid()
        children = Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)

    def _compile(self) -> None:
        # Before the first start: else the serving processes do it while they are measured.
        if self._env.get("ENGINE") == NATIVE["ENGINE"] or "compile" not in self.manage("models", "--help"):
            return
        for model in self._models:
            for number in range(1, self._versions + 1):
                self.manage("models", "compile", f"{model}@{number}", "--wait")

    def _serve(self, part: str, env: Mapping[str, str]) -> None:
        server = Server(
            f"{self.name}-{part}",
            [sys.executable, "manage.py", "serve"],
            env=env,
            cwd=ROOT,
            log=self._conditions.scratch / f"{self.name}-{part}.log",
        )
        self._servers.append(server)
        server.start()

    def _is_known(self) -> bool:
        return self._answers("/api/inference/endpoints/")  # the token is known, and the service behind is found

    def _is_serving(self) -> bool:
        return all(self._answers(f"/v2/models/{model}/ready") and self.is_current(model) for model in self._models)

    def _answers(self, path: str) -> bool:
        try:
            reply = httpx.get(self.url + path, headers=self.headers, timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False
        return reply.status_code == 200

    def _python(self, *words: str, **env: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env={**self._env, **env},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode != 0:
            raise ServerError(f"{' '.join(words[:4])} failed:\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def _binds(self, part: str) -> dict[str, str]:
        return {
            "BIND": f"127.0.0.1:{self._ports[part]}",
            "GRPC_BIND": f"127.0.0.1:{self._ports[f'{part}_grpc']}",
        }

    def _base_env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR", "USER") if name in os.environ}
        data = self._folder.absolute()
        return {
            **kept,
            "SECRET_KEY": self._secret,
            "INTERNAL_SECRETS": self._secret,
            "DATA_DIR": str(data),
            "DATABASE_URL": f"sqlite:///{data}/aiplatform.sqlite3",
            "ARTIFACT_STORE": f"file://{data}/artifacts",
            "WEB_WORKERS": str(self._conditions.workers),
            "ENGINE_THREADS": "1",
            "LOG_LEVEL": "WARNING",
            "RATE_LIMIT_PREDICT": UNLIMITED,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }


class PastGateway:
    """The split platform without its gateway: what the gateway costs is the difference."""

    name, title = "ours-direct", "aiplatform, past its gateway"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @property
    def servers(self) -> Sequence[Server]:
        """Return the platform's own; it starts and stops them."""
        return self._platform.servers

    def start(self) -> None:
        """Leave it to the platform."""

    def stop(self) -> None:
        """Leave it to the platform."""

    def target(self, protocol: str) -> Target | None:
        """Return where a protocol's requests go."""
        return self._platform.direct_target(protocol)

    def versions(self) -> dict[str, str]:
        """Return nothing that the platform does not say."""
        return {}


def _signature(secret: str, path: str, body: Body) -> dict[str, str]:
    from aiplatform.http.codec import encode_message
    from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, sign_request
    from aiplatform.identity import Identity, Scope

    identity = encode_message(Identity(username=USER, scopes=frozenset({Scope.PREDICT}))).decode()
    signature = sign_request(secret, method="POST", target=path, body=body.content, identity=identity)
    return {SIGNATURE_HEADER: signature, IDENTITY_HEADER: identity}


def _path(form: str, model: str) -> str:
    return f"/v1/models/{model}:predict" if form == "v1-json" else f"/v2/models/{model}/infer"
