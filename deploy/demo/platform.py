"""Starts the platform as its user would, and talks to it over HTTP with a token."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
ADMIN = "admin"
READY_WITHIN_S = 90.0
SECRETS = ("SECRET_KEY", "INTERNAL_SECRETS")  # what `manage.py init_env` writes into .env


class DemoError(Exception):
    """The demo cannot go on; the message says why and where to look."""


def manage(*arguments: str, capture: bool = True, **extra_env: str) -> str:
    """Run a management command and return what it printed (unless it prints to the terminal).

    Raises: DemoError with the command's own words.
    """
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **extra_env},
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(f"manage.py {' '.join(arguments)} failed:\n{done.stdout or ''}{done.stderr or ''}")
    return done.stdout or ""


def make_secrets(
    *, file: Path = ROOT / ".env", environment: Mapping[str, str] = os.environ, write: Callable[..., str] = manage
) -> str:
    """Write .env as `make setup` does, if no secrets are given otherwise; return what to tell about it.

    Raises: DemoError if .env is there and names no secrets: it is not ours to change.
    """
    if all(environment.get(name) for name in SECRETS):
        return ""
    if not file.exists():
        return write("init_env").strip()
    named = {line.partition("=")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()}
    missing = [name for name in SECRETS if name not in named and not environment.get(name)]
    if missing:
        raise DemoError(f"{file} is there and does not set {' and '.join(missing)}: see docs/settings.md")
    return ""


def make_administrator() -> str:
    """Create the administrator, or give the one there is a new password; return the password."""
    password = secrets.token_urlsafe(12)
    code = (
        "import os; from django.contrib.auth import get_user_model as model; "
        f"user, _ = model().objects.get_or_create(username={ADMIN!r}); "
        "user.is_staff = user.is_superuser = True; "
        "user.set_password(os.environ['DEMO_PASSWORD']); user.save()"
    )
    manage("shell", "--no-imports", "-c", code, DEMO_PASSWORD=password)
    return password


def make_token(name: str, scopes: Sequence[str], *, expires: str) -> str:
    """Create a token for the administrator; return its secret."""
    wanted = [word for scope in scopes for word in ("--scope", scope)]
    made = manage("tokens", "create", ADMIN, "--name", name, *wanted, "--expires", expires, "--json")
    return str(json.loads(made.strip().splitlines()[-1])["token"])


def poll(ask: Callable[[], Any], *, within_s: float, what: str) -> Any:
    """Ask until the answer is true, and return it.

    Raises: DemoError when the time is over.
    """
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.25)
    raise DemoError(f"{what}: not within {within_s:.0f} s; the log is in {log_path()}")


def log_path() -> Path:
    """Return where the platform's log goes."""
    folder = Path(os.environ.get("DATA_DIR", ROOT / "var"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "serve.log"


class Platform:
    """`manage.py serve` in the background, and a client with a token."""

    def __init__(self, bind: str) -> None:
        self.url = f"http://{bind}"
        self._bind = bind
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def start(self) -> None:
        """Start the platform; does not wait.

        Raises: DemoError if something answers at its address already.
        """
        if self._answers("/health/live"):
            raise DemoError(f"something answers on {self.url} already; stop it, or set BIND=127.0.0.1:8001")
        with log_path().open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--bind", self._bind], cwd=ROOT, stdout=log, stderr=log
            )

    def use_token(self, token: str) -> None:
        """Send this token from now on."""
        self._client.headers["Authorization"] = f"Bearer {token}"

    def wait_until_live(self) -> None:
        """Return once it answers."""
        poll(
            lambda: self._is_running() and self._answers("/health/live"),
            within_s=READY_WITHIN_S,
            what="the platform starts",
        )

    def wait_until_serving(self, model: str, version: int) -> None:
        """Return once a version answers predictions."""
        path = f"/v2/models/{model}/versions/{version}/ready"
        poll(lambda: self._is_running() and self._answers(path), within_s=READY_WITHIN_S, what=f"{model} is served")

    def get(self, path: str) -> Any:
        """Return the JSON at a path."""
        response = self._client.get(path)
        response.raise_for_status()
        return response.json()

    def find(self, path: str) -> Any:
        """Return the JSON at a path, or None if there is nothing yet."""
        response = self._client.get(path)
        if response.status_code == 404:
            return None
        response.raise_for_status()
        return response.json()

    def post(self, path: str, body: Any) -> httpx.Response:
        """Return the answer to a POST of JSON."""
        response = self._client.post(path, json=body)
        response.raise_for_status()
        return response

    def predict(self, model: str, image: Any, labels: Sequence[str], *, routing_key: str = "") -> tuple[str, str]:
        """Return the label that a model gives a picture, and the prediction's id."""
        headers = {"X-Routing-Key": routing_key} if routing_key else {}
        response = self._client.post(f"/v1/models/{model}:predict", json={"instances": [image]}, headers=headers)
        response.raise_for_status()
        scores = response.json()["predictions"][0]
        return labels[scores.index(max(scores))], response.headers["X-Prediction-Id"]

    def ensure_rule(self, rule: Mapping[str, Any]) -> None:
        """Make an alert rule; one of its name is made anew."""
        for found in self.get("/api/monitoring/rules/?page_size=200")["results"]:
            if found["name"] == rule["name"]:
                self._client.delete(f"/api/monitoring/rules/{found['id']}/").raise_for_status()
        self.post("/api/monitoring/rules/", rule)

    def wait(self) -> None:
        """Return when the platform has ended (Ctrl-C)."""
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """End the platform."""
        self._client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=30)

    def _answers(self, path: str) -> bool:
        try:
            return self._client.get(path).status_code == 200
        except httpx.HTTPError:
            return False

    def _is_running(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise DemoError(f"the platform has ended (code {self._process.returncode}); the log is in {log_path()}")
        return True
