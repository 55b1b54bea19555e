"""A model on another server is described by that server, over both protocols."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from django.core.management import CommandError

from aiplatform.artifacts import read_arrays, verify_artifact
from aiplatform.storage import local_path
from training.cli import exit_codes

from . import makers
from .conftest import Models

pytestmark = pytest.mark.django_db


class FakeServer(BaseHTTPRequestHandler):
    """Speaks what is needed of V2 and of TF Serving's REST protocol for one model."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Describe the model."""
        self.asked.append(self.path)
        if self.path == "/v2/models/tiny/versions/7":
            tensor = {"datatype": "FP32", "shape": [-1, 4]}
            outputs = [{"name": "p", "datatype": "FP32", "shape": [-1, 3]}]
            self._answer({"name": "tiny", "inputs": [{"name": "x", **tensor}], "outputs": outputs})
        elif self.path == "/v1/models/tiny/metadata":
            signature = {"inputs": {"x": _tf_tensor(4)}, "outputs": {"p": _tf_tensor(3)}}
            self._answer({"metadata": {"signature_def": {"signature_def": {"serving_default": signature}}}})
        elif self.path == "/v2/models/html":
            self._answer("<html>")
        else:
            self._answer({"error": "no such model"}, status=404)

    def do_POST(self) -> None:
        """Answer rows."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/infer"):
            (tensor,) = body["inputs"]
            p = makers.answers(np.array(tensor["data"]).reshape(tensor["shape"]))
            output = {"name": "p", "datatype": "FP32", "shape": list(p.shape), "data": p.ravel().tolist()}
            self._answer({"model_name": "tiny", "outputs": [output]})
        else:
            self._answer({"outputs": makers.answers(np.array(body["inputs"]["x"])).tolist()})

    def _answer(self, body: Any, *, status: int = 200) -> None:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def _tf_tensor(width: int) -> dict[str, Any]:
    dims = [{"size": "-1", "name": ""}, {"size": str(width), "name": ""}]
    return {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dims, "unknown_rank": False}}


@pytest.fixture
def server() -> Iterator[str]:
    """Return the address of a started server."""
    started = ThreadingHTTPServer(("127.0.0.1", 0), FakeServer)
    thread = threading.Thread(target=started.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{started.server_port}"
    started.shutdown()
    thread.join(5)
    started.server_close()


@pytest.mark.parametrize(("protocol", "version"), [("v2", "7"), ("tf_serving", "")])
def test_a_remote_model_is_registered_with_what_its_server_answers(
    models: Models, server: str, protocol: str, version: str
) -> None:
    (record,) = models(
        "import", "--remote", server, "--protocol", protocol, "--model", "tiny", "--remote-version", version,
        "--name", "far", "--labels", "a,b,c",
    )  # fmt: skip
    folder = local_path(record["artifact_uri"])
    manifest = verify_artifact(folder)
    assert (manifest.framework, manifest.model_format, manifest.labels) == ("remote", "remote", ("a", "b", "c"))
    kept = json.loads((folder / "model" / "remote.json").read_text())
    assert kept == {"protocol": protocol, "url": server, "model": "tiny", "version": version}
    inputs, outputs = (read_arrays(folder / "warmup" / name) for name in ("inputs.npz", "outputs.npz"))
    np.testing.assert_allclose(outputs["p"], makers.answers(inputs["x"]), atol=1e-5)
    assert record["lineage"]["parameters"]["source"] == server


def test_a_server_without_the_model_is_quoted(models: Models, server: str) -> None:
    with pytest.raises(CommandError, match=r"answered 404: .*no such model"):
        models("import", "--remote", server, "--model", "nope", "--name", "far")
    with pytest.raises(CommandError, match="something that is not JSON"):
        models("import", "--remote", server, "--model", "html", "--name", "far")


def test_a_server_that_is_away_is_said_to_be(models: Models, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be reached") as failure:
        models("import", "--remote", "http://127.0.0.1:9", "--name", "far")
    assert failure.value.returncode == exit_codes.FAILED
    for address in ("file:///etc/passwd", "http://user:secret@127.0.0.1:9", "http://127.0.0.1:9/?a=b"):
        with pytest.raises(CommandError, match="http:// or https:// address"):
            models("import", "--remote", address, "--name", "far")
