"""What is compared: the platform and its peers, each as something to start, to send requests to, and to stop."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.bodies import Body
from benchmarks.peers import HERE, Peer, package_versions, python_of
from benchmarks.processes import Server, accepts, answers, free_port

WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where one protocol's requests go. `address` is a URL, for gRPC host:port; `sign` gives a body's own headers."""

    address: str
    form: str
    headers: Mapping[str, str] = field(default_factory=dict)
    sign: Callable[[Body], Mapping[str, str]] | None = None

    def headers_for(self, body: Body) -> dict[str, str]:
        """Return all headers of a request."""
        return {**body.headers, **self.headers, **(self.sign(body) if self.sign else {})}


class Contender(Protocol):
    """A server of the comparison."""

    name: str
    title: str

    @property
    def servers(self) -> Sequence[Server]:
        """Return what was started, to count its processor time and memory."""

    def start(self) -> None:
        """Start it and return once it answers; raises ServerError."""

    def stop(self) -> None:
        """End everything that was started."""

    def target(self, protocol: str) -> Target | None:
        """Return where a protocol's requests go; None if it does not speak it."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that matter."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What all contenders of a run have in common."""

    model: Path
    scratch: Path
    engine: str = "onnx"
    workers: int = WORKERS
    is_gc_favoured: bool = True


class PeerContender:
    """A peer, set up as its folder says."""

    def __init__(self, peer: Peer, folder: Path, conditions: Conditions) -> None:
        self.name, self.title = peer.name, peer.title
        self._peer, self._folder, self._conditions = peer, folder, conditions
        self._server: Server | None = None
        self._scratch: Path | None = None
        self._http_port = self._grpc_port = 0

    @property
    def servers(self) -> Sequence[Server]:
        """Return what was started."""
        return [self._server] if self._server else []

    def start(self) -> None:
        """Start it in its own environment; raises ServerError."""
        self._http_port, self._grpc_port = free_port(), free_port()
        scratch = Path(tempfile.mkdtemp(prefix="b"))  # some put sockets into it, whose paths may not be long
        self._scratch = scratch
        python = python_of(self.name, self._folder).absolute()
        words = {
            "python": str(python),
            "bin": str(python.parent),
            "http_port": str(self._http_port),
            "scratch": str(scratch),
        }
        self._server = Server(
            self.name,
            [word.format_map(words) for word in self._peer.command],
            env=self._env(python, scratch, words),
            cwd=self._peer.folder,
            log=self._conditions.scratch / f"{self.name}.log",
        )
        self._server.start()
        self._server.wait_until(self._is_ready, within_s=self._peer.start_within_s)

    def stop(self) -> None:
        """End all its processes."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def target(self, protocol: str) -> Target | None:
        """Return where a protocol's requests go."""
        route = self._peer.routes.get(protocol)
        if route is None:
            return None
        if route.form == "grpc":
            return Target(address=f"127.0.0.1:{self._grpc_port}", form="grpc")
        return Target(address=f"http://127.0.0.1:{self._http_port}{route.path}", form=route.form)

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages."""
        engine = "tensorflow-cpu" if self._conditions.engine == "tensorflow" else "onnxruntime"
        return package_versions(self._peer, self._folder, engine=engine)

    def _env(self, python: Path, scratch: Path, words: Mapping[str, str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "USER") if name in os.environ}
        return {
            **kept,
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(HERE / "common"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "BENCH_HTTP_PORT": str(self._http_port),
            "BENCH_GRPC_PORT": str(self._grpc_port),
            "BENCH_MODEL": str(self._conditions.model.absolute()),
            "BENCH_ENGINE": self._conditions.engine,
            "BENCH_WORKERS": str(self._conditions.workers),
            "BENCH_GC_FREEZE": "1" if self._conditions.is_gc_favoured else "0",
            "BENCH_SCRATCH": str(scratch.absolute()),
            **{name: value.format_map(words) for name, value in self._peer.env.items()},
        }

    def _is_ready(self) -> bool:
        url = f"http://127.0.0.1:{self._http_port}{self._peer.ready}"
        needs_grpc = any(route.form == "grpc" for route in self._peer.routes.values())
        return answers(url, self._peer.ready_status) and (not needs_grpc or accepts(self._grpc_port))
