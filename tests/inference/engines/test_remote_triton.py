"""A real Triton behind the remote engine.

Needs nvidia-pytriton 0.7.0 in an environment of its own, with the numpy that its backend was built
for (with a newer one Triton takes and gives wrong tensors):

    python3.11 -m venv .venv-clients/pytriton
    .venv-clients/pytriton/bin/pip install nvidia-pytriton==0.7.0 numpy==1.26.4
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from aiplatform.artifacts import encode_manifest
from aiplatform.errors import InvalidInputError
from aiplatform.remote_models import RemoteModel, RemoteProtocol, encode_remote, fetch_signature
from inference.loaded import load_version
from tests.conftest import ROOT
from tests.e2e.topology import free_port, wait_until
from tests.inference.serving_fakes import DOUBLING, make_info, make_manifest

PYTHON = ROOT / ".venv-clients" / "pytriton" / "bin" / "python"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not PYTHON.exists(), reason="nvidia-pytriton is not installed in .venv-clients/pytriton"),
]


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteModel]:
    port, folder = free_port(), tmp_path_factory.mktemp("triton")
    command = [str(PYTHON), str(Path(__file__).with_name("triton_double.py")), str(port), str(folder)]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ})

    def is_ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        try:
            return httpx.get(f"{url}/v2/models/double/ready", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until(is_ready, within_s=60, what=lambda: (folder / "log").read_text()[-2000:])
        yield RemoteModel(protocol=RemoteProtocol.V2, url=url, model="double")
    finally:
        process.terminate()
        process.wait(20)


def test_a_models_signature_is_read_from_a_real_triton(triton: RemoteModel) -> None:
    assert fetch_signature(triton) == DOUBLING


def test_a_real_triton_answers_through_the_scheduler(triton: RemoteModel, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "remote.json").write_bytes(encode_remote(triton))
    manifest = make_manifest(DOUBLING, framework="remote", model_format="remote")
    (tmp_path / "manifest.json").write_bytes(encode_manifest(manifest))
    loaded = load_version(endpoint="double", info=make_info(), folder=tmp_path)
    try:
        x = np.array([[1, np.nan], [3, np.inf]], np.float32)
        answer = loaded.queue.run_blocking({"x": x}, deadline=time.monotonic() + 10)
        np.testing.assert_array_equal(answer["y"], x * 2)
        with pytest.raises(InvalidInputError, match=r"remote model 'double' at .* answered 400"):
            loaded.queue.run_blocking({"x": np.zeros((1, 3), np.float32)}, deadline=time.monotonic() + 10)
    finally:
        loaded.close()
