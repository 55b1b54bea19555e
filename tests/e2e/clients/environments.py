"""Environments of third-party clients: made once by pip, kept in .venv-clients/, one a client.

A client is `requirements-<name>.txt` (exact versions) and a script that makes its calls and
prints one JSON object:

    environment = client_environment("kserve")  # made if it is not there; skips where it cannot be
    said = environment.run("kserve_calls.py", platform.url, platform.token, "digits")

The scripts run in that environment, not in the project's: they import only their client.
`make clients` makes all of them before the tests, two at a time: most of it is waiting for downloads.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
HOME = ROOT / ".venv-clients"
INSTALL_TIMEOUT_S = 540
# Their needs are all in the project's own environment, which lends them by a .pth file.
BORROWERS = frozenset({"tensorflow-serving-api"})
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


class NotInstallableError(Exception):
    """The environment could not be made here; the message says why."""


@dataclass(frozen=True)
class ClientEnvironment:
    """One client's own interpreter."""

    name: str
    folder: Path

    @property
    def python(self) -> Path:
        """Return its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, script: str, *args: str, timeout_s: float = 120) -> Any:
        """Run a script beside this file with arguments; return the JSON of its last line.

        Fails the test if the script fails, with what it printed.
        """
        done = subprocess.run(
            [str(self.python), str(HERE / script), *args],
            cwd=self.folder,
            env=_direct_env(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{script} in '{self.name}' ended with {done.returncode}:\n{_tail(done)}"
        lines = done.stdout.strip().splitlines()
        assert lines, f"{script} in '{self.name}' printed nothing:\n{_tail(done)}"
        return json.loads(lines[-1])


def client_environment(name: str) -> ClientEnvironment:
    """Return the environment of `requirements-<name>.txt`, made if it is missing or outdated.

    Where it cannot be made, the test is skipped with the reason; it fails with REQUIRE_ALL=1.
    """
    try:
        return make_environment(name)
    except NotInstallableError as error:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


def make_environment(name: str, *, home: Path = HOME) -> ClientEnvironment:
    """Do the same without a test around it. Raises: NotInstallableError."""
    requirements = HERE / f"requirements-{name}.txt"
    wanted = requirements.read_text()
    environment = ClientEnvironment(name, home / name)
    installed = environment.folder / "installed.txt"  # written last: what lacks it is half made
    home.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(home / f"{name}.lock"):
        if installed.exists() and installed.read_text() == wanted:
            return environment
        shutil.rmtree(environment.folder, ignore_errors=True)
        # The project's pip installs: one of its own in each would cost more than some of the clients. Nor is all
        # compiled, of which little is imported.
        _call(name, sys.executable, "-m", "venv", "--without-pip", str(environment.folder))
        pip = [sys.executable, "-m", "pip", "--python", str(environment.python), "install"]
        options = [
            "--quiet",
            "--disable-pip-version-check",
            "--no-compile",
            *(["--no-deps"] if name in BORROWERS else []),
        ]
        _call(name, *pip, *options, "-r", str(requirements))
        installed.write_text(wanted)
    return environment


def make_all() -> list[str]:
    """Make the environments of all clients; return why some could not be made."""

    def make(name: str) -> str | None:
        try:
            make_environment(name)
        except NotInstallableError as error:
            return str(error)
        return None

    names = sorted(path.stem.removeprefix("requirements-") for path in HERE.glob("requirements-*.txt"))
    with ThreadPoolExecutor(2) as pool:
        return [reason for reason in pool.map(make, names) if reason]


def _call(name: str, *command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise NotInstallableError(
            f"the environment of client '{name}' was not made within {INSTALL_TIMEOUT_S} s"
        ) from error
    if done.returncode != 0:
        raise NotInstallableError(f"the environment of client '{name}' cannot be made here:\n{_tail(done)}")


def _direct_env() -> dict[str, str]:
    """Return the environment without proxies and without anything of the project's own Python."""
    unwanted = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "DJANGO_SETTINGS_MODULE"}
    return {k: v for k, v in os.environ.items() if k not in unwanted and k.lower() not in _PROXIES}


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}".strip()


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit("\n".join(make_all()) or None)
