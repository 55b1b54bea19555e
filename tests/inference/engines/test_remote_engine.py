"""Requests forwarded to other servers, and what becomes of their troubles."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.artifacts import encode_manifest
from aiplatform.errors import (
    ArtifactError,
    DeadlineExceededError,
    InvalidInputError,
    PlatformError,
    RemoteModelError,
    UnavailableError,
)
from aiplatform.remote_models import RemoteModel, RemoteProtocol, decode_remote, encode_remote, fetch_signature
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.engines import Engine, load_engine
from inference.loaded import load_version
from tests.inference.engines.v2_servers import Remote, serve
from tests.inference.serving_fakes import DOUBLING, make_info, make_manifest

SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="x", dtype=DType.FP32, shape=(-1, 2)),
        TensorSpec(name="who", dtype=DType.BYTES, shape=(-1,)),
    ),
    outputs=(
        TensorSpec(name="y", dtype=DType.FP32, shape=(-1, 2)),
        TensorSpec(name="greeting", dtype=DType.BYTES, shape=(-1,)),
    ),
)
INPUTS = {
    "x": np.array([[1, 2], [3, np.inf]], np.float32)[:, ::1],
    "who": np.array(["Zoë", b"Ada"], dtype=object),
}


@pytest.fixture
def remote() -> Iterator[Remote]:
    with serve(Remote()) as remote:
        yield remote


def open_remote(
    folder: Path, url: str, *, signature: Signature = SIGNATURE, protocol: str = "v2", **more: Any
) -> Engine:
    found = RemoteModel(protocol=RemoteProtocol(protocol), url=url, model="double", **more)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "remote.json").write_bytes(encode_remote(found))
    return load_engine(folder, make_manifest(signature, framework="remote", model_format="remote"))


@pytest.mark.parametrize("is_binary", [True, False])
def test_tensors_go_there_and_come_back(tmp_path: Path, is_binary: bool) -> None:
    with serve(Remote(is_binary=is_binary)) as remote:
        engine = open_remote(tmp_path, remote.url, version="7", headers={"Authorization": "Bearer t"})
        finite = {**INPUTS, "x": np.array([[1, 2], [3, 4]], np.float32)}
        outputs = engine.run(finite)
        assert list(outputs) == ["y", "greeting"]
        np.testing.assert_array_equal(outputs["y"], finite["x"] * 2)
        texts = [v.decode() if isinstance(v, bytes) else v for v in outputs["greeting"]]
        assert texts == ["hello Zoë", "hello Ada"]
        assert remote.paths == ["/v2/models/double/versions/7/infer"]
        assert remote.headers[0]["authorization"] == "Bearer t"
        assert ("inference-header-content-length" in remote.headers[0]) is is_binary
        engine.close()


def test_binary_tensors_keep_what_json_has_no_word_for(tmp_path: Path, remote: Remote) -> None:
    engine = open_remote(tmp_path, remote.url)
    assert engine.run(INPUTS)["y"][1, 1] == np.inf
    engine.close()


def test_tf_serving_gets_columns(tmp_path: Path, remote: Remote) -> None:
    engine = open_remote(tmp_path, remote.url, signature=DOUBLING, protocol="tf_serving")
    outputs = engine.run({"x": np.array([[1, np.inf]], np.float32)})
    np.testing.assert_array_equal(outputs["y"], np.array([[2, np.inf]], np.float32))
    assert remote.paths == ["/v1/models/double:predict"]
    engine.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidInputError),
        (401, RemoteModelError),
        (404, RemoteModelError),
        (429, UnavailableError),
        (500, RemoteModelError),
        (503, UnavailableError),
        (504, DeadlineExceededError),
    ],
)
def test_an_error_of_the_remote_is_named_as_its_own_and_not_tried_again(
    tmp_path: Path, remote: Remote, status: int, expected: type[PlatformError]
) -> None:
    engine = open_remote(tmp_path, remote.url)
    remote.fails_with = (status, "no such luck")
    with pytest.raises(expected, match=rf"remote model 'double' at {remote.url} answered {status}: no such luck"):
        engine.run(INPUTS)
    assert len(remote.paths) == 1
    assert expected.http_status in (400, 502, 503, 504)
    engine.close()


def test_a_remote_that_does_not_answer_in_time_is_a_504(tmp_path: Path, remote: Remote) -> None:
    engine = open_remote(tmp_path, remote.url, timeout_s=0.3)
    remote.delay_s = 5.0
    with pytest.raises(DeadlineExceededError, match=r"did not answer within 0\.3 s"):
        engine.run(INPUTS)
    engine.close()


def test_a_remote_that_is_gone_is_a_503(tmp_path: Path) -> None:
    with serve(Remote()) as remote:
        engine = open_remote(tmp_path, remote.url)
    with pytest.raises(UnavailableError, match=r"remote model 'double' at .* cannot be reached"):
        engine.run(INPUTS)
    engine.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[]",
        b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [1]}]}',
        b'{"outputs": [{"name": "y", "datatype": "INT64", "shape": [1], "data": [1]}]}',
        b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 9}}]}',
        b'{"outputs": []}',
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_none_is_a_502(tmp_path: Path, remote: Remote, answer: bytes) -> None:
    engine = open_remote(tmp_path, remote.url)
    remote.answer = answer
    try:
        with pytest.raises(RemoteModelError, match=f"remote model 'double' at {remote.url} answered"):
            engine.run(INPUTS)
    finally:
        engine.close()


def test_several_calls_go_out_at_once(tmp_path: Path, remote: Remote) -> None:
    engine = open_remote(tmp_path, remote.url)
    remote.delay_s = 1.0  # in which all of them have begun, on a busy machine too
    threads = [threading.Thread(target=engine.run, args=(INPUTS,)) for _ in range(engine.concurrency)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert remote.most_at_once == engine.concurrency
    assert time.monotonic() - started < remote.delay_s * engine.concurrency
    engine.close()


def test_a_remote_with_other_tensors_is_refused(tmp_path: Path, remote: Remote) -> None:
    with pytest.raises(ArtifactError, match=r"inputs are \['x'\], the model's are \['who', 'x'\]"):
        open_remote(tmp_path, remote.url, signature=DOUBLING)


def test_a_version_without_samples_serves_if_it_is_remote(tmp_path: Path, remote: Remote) -> None:
    open_remote(tmp_path, remote.url).close()
    manifest = make_manifest(SIGNATURE, framework="remote", model_format="remote")
    (tmp_path / "manifest.json").write_bytes(encode_manifest(manifest))
    loaded = load_version(endpoint="double", info=make_info(), folder=tmp_path)
    answer = loaded.queue.run_blocking(INPUTS, deadline=time.monotonic() + 10)
    assert answer["y"].shape == (2, 2)
    assert (loaded.running.name, loaded.running.call_ms) == ("remote", {})
    loaded.close()


def test_a_signature_is_read_from_the_remotes_metadata(remote: Remote) -> None:
    v2 = RemoteModel(protocol=RemoteProtocol.V2, url=remote.url, model="double")
    assert fetch_signature(v2) == SIGNATURE
    assert fetch_signature(replace(v2, protocol=RemoteProtocol.TF_SERVING)) == DOUBLING
    with pytest.raises(UnavailableError, match="cannot be reached"):
        fetch_signature(replace(v2, url="http://127.0.0.1:1"))


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"\xff",
        b'{"protocol": "v2", "url": "file:///etc/passwd", "model": "m"}',
        b'{"protocol": "v2", "url": "http://user:word@host", "model": "m"}',
        b'{"protocol": "smtp", "url": "http://host", "model": "m"}',
        b'{"protocol": "v2", "url": "http://host", "model": ""}',
        b'{"protocol": "v2", "url": "http://host", "model": "m", "timeout_s": 0}',
    ],
)
def test_a_remote_file_that_names_no_server_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInputError):
        decode_remote(raw)
