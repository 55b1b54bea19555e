"""A Kubernetes API by hand: keeps objects, answers as the real one does, and runs the pods as processes here.

Pods of one object stand for machines of their own: what would be a name in the cluster's DNS is the loopback here, and
instead of an address for each pod there are free ports for each object.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

PROJECT = Path(__file__).parents[3]
POD_LABELS = {"jobs": "batch.kubernetes.io/job-name", "trainjobs": "jobset.sigs.k8s.io/jobset-name"}


@dataclass
class FakeCluster:
    """What is in the cluster. `has_room`: pods start at once; else they are pending until `schedule`."""

    has_room: bool = True
    is_down: bool = False
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)  # by plural/name
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)  # by plural/name, or plural/name/index
    held_back: set[int] = field(default_factory=set)  # indices of pods that find no place, though others do
    outputs: dict[str, Path] = field(default_factory=dict)  # of what pods write, if `folder` is given
    folder: Path | None = None
    ports: dict[str, int] = field(default_factory=dict)  # the first of each object's
    names: dict[str, str] = field(default_factory=dict)  # that its pods would have in a cluster
    created: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    out_of_memory: set[str] = field(default_factory=set)

    def start(self) -> None:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def do_DELETE(self) -> None:
                self._answer("DELETE")

            def _answer(self, method: str) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body = cluster.answer(method, self.path, json.loads(raw) if raw else None)
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for process in self.processes.values():
            process.kill()
            process.wait()

    def write_kubeconfig(self, path: Path) -> Path:
        host, port = self._server.server_address[:2]
        name = "fake"
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": f"http://{host!s}:{port}"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "users": [{"name": name, "user": {"token": "secret"}}],
        }  # fmt: skip
        path.write_text(json.dumps(config))
        return path

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self.is_down:
            return 503, _failure(503, "the API server is shutting down")
        url = urlsplit(path)
        parts = url.path.strip("/").split("/")
        if parts[:3] == ["api", "v1", "namespaces"]:
            return self._pods(method, parts[5:], parse_qs(url.query))
        _, _, _, _, namespace, plural, *name = parts  # apis/group/version/namespaces/...
        assert namespace == "ml"
        if method == "POST":
            return self._create(plural, body)
        key = f"{plural}/{name[0]}"
        if key not in self.objects:
            return 404, _failure(404, f'{plural} "{name[0]}" not found')
        if method == "DELETE":
            self.deleted.append(key)
            self._end(key, signal.SIGTERM)  # its pods get their time
            return 200, self.objects.pop(key)
        return 200, {**self.objects[key], "status": self._status(key)}

    def schedule(self) -> None:
        """Start what is pending."""
        self.has_room = True
        self.held_back.clear()
        for key, manifest in self.objects.items():
            self._run(key, manifest)

    def pods_of(self, key: str) -> dict[str, subprocess.Popen[bytes] | None]:
        """Return an object's pods by their names; None for one that has no place."""
        known = [name for name in self.processes if name == key or name.startswith(f"{key}/")]
        count = _nodes(self.objects[key]) if key in self.objects else len(known)
        return {name: self.processes.get(name) for name in _pod_keys(key, count)}

    def _create(self, plural: str, manifest: dict[str, Any]) -> tuple[int, Any]:
        key = f"{plural}/{manifest['metadata']['name']}"
        if key in self.objects:
            return 409, _failure(409, f'{plural} "{manifest["metadata"]["name"]}" already exists')
        self.objects[key] = manifest
        self.created.append(key)
        if self.has_room:
            self._run(key, manifest)
        return 201, manifest

    def _run(self, key: str, manifest: dict[str, Any]) -> None:
        if key.startswith("jobs/"):
            trainer = next(c for c in manifest["spec"]["template"]["spec"]["containers"] if c["name"] == "trainer")
        else:
            trainer = manifest["spec"]["trainer"]
        command = [sys.executable if word == "python" else word for word in [*trainer["command"], *trainer["args"]]]
        given = {one["name"]: one["value"] for one in trainer["env"]}
        if "TRAINER_NODES" in given:
            ports = self.ports.setdefault(key, free_range(2 + 2 * len(given["TRAINER_NODES"].split(","))))
            self.names[key] = given["TRAINER_NODES"]
            given |= {"TRAINER_NODES": ",".join("127.0.0.1" for _ in given["TRAINER_NODES"].split(","))}
            given["TRAINER_NODE_PORT"] = str(ports)
        for index, pod in enumerate(self.pods_of(key)):
            if pod in self.processes or index in self.held_back:
                continue
            env = {**os.environ, **given, "JOB_COMPLETION_INDEX": str(index)}
            with self._output(pod) as output:
                self.processes[pod] = subprocess.Popen(
                    command, cwd=PROJECT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )

    def _output(self, pod: str) -> IO[bytes]:
        if self.folder is None:
            return Path(os.devnull).open("ab")
        self.outputs[pod] = self.folder / pod.replace("/", "_")
        return self.outputs[pod].open("ab")

    def _end(self, key: str, number: signal.Signals) -> None:
        for process in self.pods_of(key).values():
            if process is not None and process.poll() is None:
                process.send_signal(number)

    def _status(self, key: str) -> dict[str, Any]:
        codes = [None if process is None else process.poll() for process in self.pods_of(key).values()]
        if any(codes):  # backoffLimit 0: the Job ends its other pods, and has failed when they are gone
            if None in codes:
                self._end(key, signal.SIGTERM)
                return {"active": codes.count(None), "conditions": [{"type": "FailureTarget", "status": "True"}]}
            return {"conditions": [{"type": "Failed", "status": "True"}]}
        if None in codes:
            return {"active": codes.count(None)}
        return {"conditions": [{"type": "Complete", "status": "True"}]}

    def _pods(self, method: str, rest: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        if method == "DELETE":
            key = next(key for key in self.processes if _pod_name(key) == rest[0])
            if self.processes[key].poll() is None:
                self.processes[key].send_signal(signal.SIGKILL)
            return 200, {}
        label, _, name = query["labelSelector"][0].partition("=")
        keys = {"/".join(key.split("/")[:2]) for key in {*self.objects, *self.processes} if key.split("/")[1] == name}
        wanted = [key for key in keys if POD_LABELS[key.split("/")[0]] == label]
        return 200, {"items": [self._pod(key, index) for one in wanted for index, key in enumerate(self.pods_of(one))]}

    def _pod(self, key: str, index: int) -> dict[str, Any]:
        metadata = {"name": _pod_name(key), "labels": {"batch.kubernetes.io/job-completion-index": str(index)}}
        process = self.processes.get(key)
        if process is None:
            unfit = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                     "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}  # fmt: skip
            return {"metadata": metadata, "status": {"phase": "Pending", "conditions": [unfit]}}
        code = process.poll()
        if code is None:
            state: dict[str, Any] = {"running": {}}
        else:
            reason = "OOMKilled" if key in self.out_of_memory else "Error" if code else "Completed"
            state = {"terminated": {"exitCode": 128 - code if code < 0 else code, "reason": reason}}
        phase = "Running" if code is None else "Failed" if code else "Succeeded"
        statuses = [{"name": "trainer", "state": state}]
        return {"metadata": metadata, "status": {"phase": phase, "containerStatuses": statuses}}


def free_range(count: int) -> int:
    """Return the first of so many ports in a row that are free now."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            start: int = first.getsockname()[1]
            try:
                for port in range(start + 1, start + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return start


def _nodes(manifest: dict[str, Any]) -> int:
    spec = manifest["spec"]
    return int(spec["trainer"]["numNodes"] if manifest["kind"] == "TrainJob" else spec.get("completions", 1))


def _pod_keys(key: str, count: int) -> list[str]:
    return [key] if count <= 1 else [f"{key}/{index}" for index in range(count)]


def _pod_name(key: str) -> str:
    return "pod-" + "-".join(key.split("/")[1:])


def _failure(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "message": message}
