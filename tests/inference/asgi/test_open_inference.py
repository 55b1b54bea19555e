"""V2 through the application: binary bodies, compression, statistics, configuration, index, refusals."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aiplatform.contracts.inference import ReplicaState
from aiplatform.tensors import DType, Signature
from inference.asgi import PredictApplication
from inference.routing_table import PendingVersion
from inference.scheduler import BatchQueue
from tests.inference.serving_fakes import (
    DOUBLING,
    POISON,
    AsgiClient,
    CountingMetrics,
    FakeEngine,
    Reply,
    make_info,
    make_loaded,
    make_manifest,
    make_runtime,
    route_of,
    spec,
)

INFER = "/v2/models/double/infer"
SIZE = "Inference-Header-Content-Length"
BINARY = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}


def rows(*values: float) -> bytes:
    return np.array([[value, value] for value in values], np.float32).tobytes()


def infer(client: AsgiClient, *values: float, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    """Send binary rows; ask for binary outputs unless told otherwise."""
    described = {**BINARY, "shape": [len(values), 2], "parameters": {"binary_data_size": 8 * len(values)}}
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}, **more}).encode()
    return client.request("POST", INFER, head + rows(*values), headers={SIZE: str(len(head)), **(headers or {})})


def numbers(reply: Reply, body: bytes | None = None) -> list[float]:
    whole = reply.body if body is None else body
    found: list[float] = np.frombuffer(whole[int(reply.headers[SIZE.lower()]) :], np.float32).tolist()
    return found


def test_a_binary_request_gets_a_binary_answer_that_says_who_answered(client: AsgiClient) -> None:
    reply = infer(client, 1, 2, id="mine")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/octet-stream")
    head = json.loads(reply.body[: int(reply.headers[SIZE.lower()])])
    assert head == {
        "model_name": "double",
        "model_version": "1",
        "id": "mine",
        "parameters": {"prediction_id": reply.headers["x-prediction-id"]},
        "outputs": [{"name": "y", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}}],
    }
    assert numbers(reply) == [2, 2, 4, 4]


def test_a_binary_request_that_asks_for_nothing_binary_gets_json(client: AsgiClient) -> None:
    reply = infer(client, 1, parameters={})
    assert reply.headers["content-type"] == "application/json"
    assert SIZE.lower() not in reply.headers
    assert reply.json["outputs"][0]["data"] == [2, 2]


def test_a_raw_body_is_the_only_input(client: AsgiClient) -> None:
    reply = client.request("POST", INFER, rows(1, 2, 3), headers={SIZE: "0"})
    assert numbers(reply) == [2, 2, 4, 4, 6, 6]
    assert client.request("POST", INFER, b"1234567", headers={SIZE: "0"}).status == 400


def test_a_large_binary_request_is_answered(serve: Callable[..., AsgiClient]) -> None:
    client = serve(route_of(make_loaded(FakeEngine(), max_queue_rows=100_000)), max_body_bytes=1 << 24)
    values = [float(i % 100) for i in range(50_000)]
    assert sum(numbers(infer(client, *values))) == 4 * sum(values)


def test_a_head_size_beyond_the_body_is_refused(client: AsgiClient) -> None:
    reply = client.request("POST", INFER, b"{}", headers={SIZE: "3"})
    assert (reply.status, SIZE in reply.json["error"]) == (400, True)


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
def test_the_body_is_read_whatever_it_is_called(client: AsgiClient, kind: str | None) -> None:
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    headers = {"Content-Type": kind} if kind else {}
    assert client.request("POST", INFER, body, headers=headers).json["outputs"][0]["data"] == [2, 4]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_request_is_unpacked_and_its_head_size_counts_unpacked_bytes(
    client: AsgiClient, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    head = json.dumps({"inputs": [BINARY], "parameters": {"binary_data_output": True}}).encode()
    headers = {SIZE: str(len(head)), "Content-Encoding": encoding}
    assert numbers(client.request("POST", INFER, pack(head + rows(1)), headers=headers)) == [2, 2]
    rows_form = client.request(
        "POST", "/v1/models/double:predict", pack(b'{"instances": [[1, 2]]}'), headers={"Content-Encoding": encoding}
    )
    assert rows_form.json == {"predictions": [[2, 4]]}


def test_an_answer_of_some_size_is_packed_if_that_is_accepted(client: AsgiClient) -> None:
    values = [float(i) for i in range(200)]
    plain = infer(client, *values)
    packed = infer(client, *values, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert int(packed.headers["content-length"]) == len(packed.body) < len(plain.body)
    assert numbers(packed, gzip.decompress(packed.body)) == numbers(plain)
    zipped = infer(client, *values, headers={"Accept-Encoding": "deflate"})
    assert numbers(zipped, zlib.decompress(zipped.body)) == numbers(plain)
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in infer(client, 1, headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize("path", [INFER, "/v1/models/double:predict", "/v2/repository/index"])
@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(bytes(2 << 20)), "gzip", 413),
        (b"nothing", "gzip", 400),
        (gzip.compress(b"{}")[:-4], "gzip", 400),
        (b"{}", "br", 400),
    ],
)
def test_a_bomb_or_broken_data_is_refused(
    client: AsgiClient, path: str, body: bytes, encoding: str, status: int
) -> None:
    reply = client.request("POST", path, body, headers={"Content-Encoding": encoding})
    assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
    if status == 413:
        assert reply.json["details"]["setting"] == "MAX_BODY_BYTES"


def test_texts_travel_both_ways(serve: Callable[..., AsgiClient]) -> None:
    class Echo(FakeEngine):
        def run(self, inputs: Any) -> Any:
            return {"y": inputs["x"]}

    texts = Signature(inputs=(spec("x", DType.BYTES, (-1, 2)),), outputs=(spec("y", DType.BYTES, (-1, 2)),))
    client = serve(route_of(make_loaded(Echo(), manifest=make_manifest(texts))))
    raw = b"\x01\x00\x00\x00a\x02\x00\x00\x00\xff\xfe"
    tensor = {"name": "x", "shape": [1, 2], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    reply = client.request("POST", INFER, head + raw, headers={SIZE: str(len(head))})
    assert reply.body.endswith(raw)


def test_classes_have_the_artifacts_labels(serve: Callable[..., AsgiClient]) -> None:
    manifest = replace(make_manifest(), labels=("no", "yes"))
    client = serve(route_of(make_loaded(FakeEngine(), manifest=manifest)))
    outputs = [{"name": "y", "parameters": {"classification": 1}}]
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}], "outputs": outputs}
    assert client.request("POST", INFER, body).json["outputs"] == [
        {"name": "y", "shape": [1, 1], "datatype": "BYTES", "data": ["4.000000:1:yes"]}
    ]


def test_statistics_count_requests_rows_and_calls_of_each_version() -> None:
    serving = make_runtime()
    serving.connect(recorder=serving.service.recorder, metrics=CountingMetrics())
    loaded = make_loaded(FakeEngine())
    loaded.queue.close()
    loaded.queue = BatchQueue(
        endpoint="double",
        version=1,
        engine=FakeEngine(),
        signature=DOUBLING,
        limits=serving.options.limits,
        metrics=serving.service.metrics,
    )
    idle = make_loaded(FakeEngine(), version=2)
    serving.table.swap({"double": route_of(loaded, idle, weights={1: 100, 2: 0})})
    client = AsgiClient(PredictApplication(serving))
    infer(client, 1, 2, 3)
    infer(client, 4)
    assert infer(client, POISON).status == 500
    assert client.request("POST", INFER, b"{").status == 400
    answered, untouched = client.request("GET", "/v2/models/double/stats").json["model_stats"]
    stats = answered["inference_stats"]
    assert (answered["name"], answered["version"]) == ("double", "1")
    assert (answered["inference_count"], answered["execution_count"]) == (5, 3)
    assert (stats["success"]["count"], stats["fail"]["count"]) == (2, 2)
    assert stats["success"]["ns"] > 0
    assert answered["last_inference"] > 1_600_000_000_000
    assert (untouched["version"], untouched["inference_count"], untouched["last_inference"]) == ("2", 0, 0)
    assert client.request("GET", "/v2/models/stats").json["model_stats"] == [answered, untouched]
    assert client.request("GET", "/v2/models/double/versions/2/stats").json["model_stats"] == [untouched]
    assert client.request("GET", "/v2/models/double/versions/9/stats").status == 404
    assert client.request("GET", "/v2/models/nobody/stats").status == 404
    serving.close()


def test_a_configuration_has_tensors_without_the_batch_where_rows_are_batched(
    serve: Callable[..., AsgiClient],
) -> None:
    fixed = Signature(inputs=(spec("x", DType.BYTES, (1, 2)),), outputs=(spec("y", shape=(1, 2)),))
    client = serve(
        route_of(make_loaded(FakeEngine())),
        route_of(make_loaded(FakeEngine(), manifest=make_manifest(fixed, name="fixed"))),
    )
    config = client.request("GET", "/v2/models/double/config").json
    assert (config["name"], config["platform"], config["backend"]) == ("double", "tensorflow_savedmodel", "tensorflow")
    assert config["max_batch_size"] > 0
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}]
    other = client.request("GET", "/v2/models/fixed/versions/1/config").json
    assert other["max_batch_size"] == 0
    assert other["input"] == [{"name": "x", "data_type": "TYPE_STRING", "dims": [1, 2]}]


def test_the_index_lists_every_version_with_its_state(serve: Callable[..., AsgiClient]) -> None:
    pending = {
        2: PendingVersion(state=ReplicaState.LOADING),
        3: PendingVersion(state=ReplicaState.FAILED, message="wrong outputs"),
    }
    client = serve(route_of(make_loaded(FakeEngine()), pending=pending))
    index = client.request("POST", "/v2/repository/index").json
    assert index == [
        {"name": "double", "version": "1", "state": "READY", "reason": ""},
        {"name": "double", "version": "2", "state": "LOADING", "reason": ""},
        {"name": "double", "version": "3", "state": "UNAVAILABLE", "reason": "wrong outputs"},
    ]
    assert client.request("POST", "/v2/repository/index", {"ready": True}).json == index[:1]
    for broken in ({"ready": 1}, b"[]", b"{", b"\xff"):
        assert client.request("POST", "/v2/repository/index", broken).status == 400


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/v2/repository/models/double/load", 400, "not loaded or unloaded over this protocol"),
        ("/v2/repository/models/double/unload", 400, "not loaded or unloaded over this protocol"),
        ("/v2/trace/setting", 404, "trace settings"),
        ("/v2/models/double/trace/setting", 404, "trace settings"),
        ("/v2/logging", 404, "log settings"),
        ("/v2/systemsharedmemory/status", 404, "shared memory"),
        ("/v2/cudasharedmemory/region/r/register", 404, "shared memory"),
        ("/v2/models/double/generate", 404, "generating text"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_offered_says_so(client: AsgiClient, method: str, path: str, status: int, reason: str) -> None:
    reply = client.request(method, path)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
    assert reason in reply.json["error"]


def test_head_is_answered_as_get_without_a_body(client: AsgiClient) -> None:
    for path in ("/v2", "/v2/health/ready", "/v2/models/double", "/v1/models/double"):
        whole, head = client.request("GET", path), client.request("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.body))
    assert client.request("HEAD", INFER).status == 405


def test_unknown_paths_and_models_make_no_new_labels(client: AsgiClient, metrics: CountingMetrics) -> None:
    for number in range(20):
        client.request("POST", f"/v2/models/nobody{number}/infer", b"{}")
        client.request("POST", f"/v1/models/nobody{number}:predict", b"{}")
        client.request("GET", f"/v2/nothing/{number}")
        client.request("POST", f"/v2/models/double/versions/{100 + number}/infer", b"{}")
    assert {(endpoint, version) for endpoint, version, _ in metrics.predictions} == {("double", 0)}


def test_a_loaded_version_has_the_runtimes_counts() -> None:
    serving = make_runtime()
    counting = CountingMetrics()
    serving.connect(recorder=serving.service.recorder, metrics=counting)
    serving.service.metrics.observe_batch(endpoint="double", version=make_info().version, rows=3)
    serving.service.metrics.set_queue_depth(endpoint="double", version=1, rows=3)
    assert counting.batches == [3]
    assert serving.statistics.version("double", 1).inferences == 3


def test_the_oldest_statistics_are_forgotten() -> None:
    serving = make_runtime()
    for version in range(1, 3000):
        serving.statistics.count_execution("double", version, 1)
    assert serving.statistics.version("double", 1).executions == 0
    assert serving.statistics.version("double", 2999).executions == 1
