"""The platform behind the platform: our own protocols as the remote of a remote model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from aiplatform.artifacts import encode_manifest
from aiplatform.errors import RemoteModelError
from aiplatform.remote_models import RemoteModel, RemoteProtocol, encode_remote, fetch_signature
from inference.loaded import LoadedVersion, load_version
from tests.inference.serving_fakes import (
    DOUBLING,
    AsgiClient,
    FakeEngine,
    make_info,
    make_loaded,
    make_manifest,
    route_of,
)


@contextmanager
def on_a_port(application: AsgiClient) -> Iterator[str]:
    """Serve an ASGI application on a real socket of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass_on(b"")

        def do_POST(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

        def _pass_on(self, body: bytes) -> None:
            reply = application.request(self.command, self.path, body, headers=dict(self.headers))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    server.daemon_threads = True
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def load_remote(folder: Path, remote: RemoteModel) -> LoadedVersion:
    (folder / "model").mkdir()
    (folder / "model" / "remote.json").write_bytes(encode_remote(remote))
    manifest = make_manifest(DOUBLING, framework="remote", model_format="remote")
    (folder / "manifest.json").write_bytes(encode_manifest(manifest))
    return load_version(endpoint="front", info=make_info(), folder=folder)


@pytest.mark.parametrize("protocol", list(RemoteProtocol))
def test_a_model_of_one_platform_is_served_by_another(
    serve: Callable[..., AsgiClient], tmp_path: Path, protocol: RemoteProtocol
) -> None:
    engine = FakeEngine()
    with on_a_port(serve(route_of(make_loaded(engine)))) as url:
        remote = RemoteModel(protocol=protocol, url=url, model="double")
        assert fetch_signature(remote) == DOUBLING
        loaded = load_remote(tmp_path, remote)
        x = np.array([[1, 2], [3, 4.5]], np.float32)
        answer = loaded.queue.run_blocking({"x": x}, deadline=time.monotonic() + 10)
        np.testing.assert_array_equal(answer["y"], x * 2)
        with pytest.raises(RemoteModelError, match=f"remote model 'double' at {url} answered 500"):
            loaded.queue.run_blocking({"x": np.full((1, 2), 666, np.float32)}, deadline=time.monotonic() + 10)
        loaded.close()
