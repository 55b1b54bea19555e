"""A Kubernetes API by hand: keeps objects, answers as the real one does, and runs the pods as processes here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT = Path(__file__).parents[3]
POD_LABELS = {"jobs": "batch.kubernetes.io/job-name", "trainjobs": "jobset.sigs.k8s.io/jobset-name"}


@dataclass
class FakeCluster:
    """What is in the cluster. `has_room`: pods start at once; else they are pending until `schedule`."""

    has_room: bool = True
    is_down: bool = False
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)  # by plural/name
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)  # by plural/name
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
            self._end(key, signal.SIGTERM)
            return 200, self.objects.pop(key)
        return 200, {**self.objects[key], "status": self._status(key)}

    def schedule(self) -> None:
        """Start what is pending."""
        self.has_room = True
        for key, manifest in self.objects.items():
            if key not in self.processes:
                self._run(key, manifest)

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
        env = {**os.environ, **{one["name"]: one["value"] for one in trainer["env"]}}
        self.processes[key] = subprocess.Popen(command, cwd=PROJECT, env=env, stdin=subprocess.DEVNULL)

    def _end(self, key: str, number: signal.Signals) -> None:
        process = self.processes.get(key)
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def _status(self, key: str) -> dict[str, Any]:
        process = self.processes.get(key)
        code = process.poll() if process is not None else None
        if code is None:
            return {"active": 1}
        return {"conditions": [{"type": "Failed" if code else "Complete", "status": "True"}]}

    def _pods(self, method: str, rest: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        if method == "DELETE":
            key = next(key for key in self.processes if key.endswith(f"/{rest[0].removeprefix('pod-')}"))
            self._end(key, signal.SIGKILL)
            return 200, {}
        label, _, name = query["labelSelector"][0].partition("=")
        keys = [key for key in {*self.objects, *self.processes} if key.split("/")[1] == name]
        return 200, {"items": [self._pod(key) for key in keys if POD_LABELS[key.split("/")[0]] == label]}

    def _pod(self, key: str) -> dict[str, Any]:
        name = key.split("/")[1]
        process = self.processes.get(key)
        if process is None:
            unfit = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                     "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}  # fmt: skip
            return {"metadata": {"name": f"pod-{name}"}, "status": {"phase": "Pending", "conditions": [unfit]}}
        code = process.poll()
        if code is None:
            state: dict[str, Any] = {"running": {}}
        else:
            reason = "OOMKilled" if key in self.out_of_memory else "Error" if code else "Completed"
            state = {"terminated": {"exitCode": 128 - code if code < 0 else code, "reason": reason}}
        phase = "Running" if code is None else "Failed" if code else "Succeeded"
        statuses = [{"name": "trainer", "state": state}]
        return {"metadata": {"name": f"pod-{name}"}, "status": {"phase": phase, "containerStatuses": statuses}}


def _failure(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "message": message}
