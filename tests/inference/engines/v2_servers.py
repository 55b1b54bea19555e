"""Small servers that a remote model may stand on: V2 with and without binary tensors, TF Serving."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

METADATA = {
    "name": "double",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "who", "datatype": "BYTES", "shape": [-1]},
    ],
    "outputs": [
        {"name": "y", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "greeting", "datatype": "BYTES", "shape": [-1]},
    ],
}  # fmt: skip
TF_METADATA = {
    "metadata": {
        "signature_def": {
            "signature_def": {
                "serving_default": {
                    "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}, {"size": "2"}]}}},
                    "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}, {"size": "2"}]}}},
                }
            }
        }
    }
}


class Remote:
    """Doubles x and greets. `fails_with` answers every inference with a status; `delay_s` holds it up."""

    def __init__(self, *, is_binary: bool = True) -> None:
        self.is_binary = is_binary
        self.fails_with: tuple[int, str] | None = None
        self.answer: bytes | None = None
        self.delay = threading.Event()
        self.delay_s = 0.0
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.url = ""

    def get(self, path: str) -> dict[str, Any]:
        if path == "/v2":
            return {"name": "small", "version": "1", "extensions": ["binary_tensor_data"] if self.is_binary else []}
        return TF_METADATA if path.startswith("/v1") else METADATA

    def infer(self, headers: dict[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
        if self.answer is not None:
            return self.answer, {}
        length = int(headers.get("inference-header-content-length", len(body)))
        message = json.loads(body[:length])
        if "signature_name" in message:
            y = (np.asarray(message["inputs"]["x"], np.float32) * 2).tolist()
            return json.dumps({"outputs": y}).encode(), {}
        x, who = message["inputs"]
        if self.is_binary:
            size = x["parameters"]["binary_data_size"]
            numbers = np.frombuffer(body[length : length + size], "<f4").reshape(x["shape"])
            names = _split(body[length + size :])
        else:
            numbers = np.asarray(x["data"], np.float32).reshape(x["shape"])
            names = [name.encode() for name in who["data"]]
        return self._encode(numbers * 2, [b"hello " + name for name in names])

    def _encode(self, y: np.ndarray[Any, Any], greetings: list[bytes]) -> tuple[bytes, dict[str, str]]:
        outputs: list[dict[str, Any]] = [
            {"name": "greeting", "datatype": "BYTES", "shape": [len(greetings)]},
            {"name": "y", "datatype": "FP32", "shape": list(y.shape)},
        ]
        if not self.is_binary:
            outputs[0]["data"], outputs[1]["data"] = [g.decode() for g in greetings], y.ravel().tolist()
            return json.dumps({"model_name": "double", "outputs": outputs}).encode(), {}
        raw = [b"".join(struct.pack("<I", len(g)) + g for g in greetings), y.astype("<f4").tobytes()]
        for output, part in zip(outputs, raw, strict=True):
            output["parameters"] = {"binary_data_size": len(part)}
        head = json.dumps({"model_name": "double", "outputs": outputs}).encode()
        return head + b"".join(raw), {"Inference-Header-Content-Length": str(len(head))}


@contextmanager
def serve(remote: Remote) -> Iterator[Remote]:
    """Run it on a free port of loopback."""
    lock = threading.Lock()
    sockets: list[socket.socket] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            sockets.append(self.connection)

        def do_GET(self) -> None:
            self._answer(200, json.dumps(remote.get(self.path)).encode(), {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            remote.paths.append(self.path)
            remote.headers.append({k.lower(): v for k, v in self.headers.items()})
            with lock:
                remote.at_once += 1
                remote.most_at_once = max(remote.most_at_once, remote.at_once)
            remote.delay.wait(remote.delay_s)
            with lock:
                remote.at_once -= 1
            if remote.fails_with:
                status, text = remote.fails_with
                self._answer(status, json.dumps({"error": text}).encode(), {})
                return
            self._answer(200, *remote.infer(remote.headers[-1], body))

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    remote.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield remote
    finally:
        remote.delay.set()
        for connection in sockets:  # kept ones too: who is gone answers nobody
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.shutdown()
        server.server_close()
        thread.join()


def _split(raw: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return found
