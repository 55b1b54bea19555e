"""The servers that the platform is compared with: one folder each, with settings that anyone can object to.

    peer.toml          how it is started, which protocols it speaks, and why it is set up so
    requirements.txt   exact versions; `python -m benchmarks.peers install` makes an environment of them
    serve.py           what its user writes

Each runs in an environment of its own below the peers folder (`var/peers`, or `--peers-folder`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEFAULT_FOLDER = HERE.parent.parent / "var" / "peers"
TENSORFLOW = "tensorflow-cpu==2.21.0"


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where and in which form a server takes one protocol's requests (forms: benchmarks/bodies.py)."""

    form: str
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What peer.toml says."""

    name: str
    title: str
    command: tuple[str, ...]
    ready: str
    routes: Mapping[str, Route]
    packages: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ready_status: tuple[int, ...] = (200,)
    start_within_s: float = 120.0
    why: str = ""

    @property
    def folder(self) -> Path:
        """Return the folder of its configuration."""
        return HERE / self.name


def names() -> list[str]:
    """Return the names of all peers."""
    return sorted(path.parent.name for path in HERE.glob("*/peer.toml"))


def read_peer(name: str) -> Peer:
    """Return a peer's description.

    Raises: SystemExit if there is none of that name.
    """
    path = HERE / name / "peer.toml"
    if not path.exists():
        sys.exit(f"there is no peer '{name}'; there are: {', '.join(names())}")
    content: dict[str, Any] = tomllib.loads(path.read_text())
    routes = {protocol: Route(**route) for protocol, route in content.pop("protocols").items()}
    for key in ("command", "packages", "ready_status"):
        if key in content:
            content[key] = tuple(content[key])
    return Peer(name=name, routes=routes, **content)


def python_of(name: str, folder: Path) -> Path:
    """Return the Python of a peer's environment, whether or not it is there."""
    return folder / name / "bin" / "python"


def is_installed(name: str, folder: Path) -> bool:
    """Say whether a peer's environment is there."""
    return python_of(name, folder).exists()


def package_versions(peer: Peer, folder: Path, *, engine: str = "onnxruntime") -> dict[str, str]:
    """Return the versions of a peer's packages and of its engine, as installed."""
    code = "import importlib.metadata as m, sys; print(*(m.version(n) for n in sys.argv[1:]))"
    python, wanted = python_of(peer.name, folder), [*peer.packages, engine]
    done = subprocess.run([python, "-c", code, *wanted], capture_output=True, text=True, check=False)
    return dict(zip(wanted, done.stdout.split(), strict=False))


def install(name: str, folder: Path, *, with_tensorflow: bool) -> None:
    """Make a peer's environment, or bring it up to date.

    Raises: subprocess.CalledProcessError if pip refuses.
    """
    peer = read_peer(name)
    python = python_of(name, folder)
    if not python.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
    wanted = ["-r", str(peer.folder / "requirements.txt"), *([TENSORFLOW] if with_tensorflow else [])]
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], check=True, env=environ)
