"""Predicting over both protocols, through the application, queue and a fake engine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from PIL import Image

from aiplatform.artifacts import ImageInput
from aiplatform.contracts.inference import PredictRows, ReplicaState
from aiplatform.tensors import Signature
from inference.asgi import PredictApplication
from inference.engines import Arrays
from inference.prediction_ids import new_prediction_id
from inference.routing_table import PendingVersion, Route, RoutingTable
from tests.inference.serving_fakes import (
    POISON,
    AsgiClient,
    CountingMetrics,
    FakeEngine,
    ListRecorder,
    make_loaded,
    make_manifest,
    make_runtime,
    route_of,
    spec,
)

PREDICT = "/v1/models/double:predict"
INFER = "/v2/models/double/infer"
TENSOR = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}


def test_rows_are_answered_with_predictions(client: AsgiClient) -> None:
    reply = client.request("POST", PREDICT, {"instances": [[1, 2], [3, 4.5]]})
    assert (reply.status, reply.json) == (200, {"predictions": [[2, 4], [6, 9]]})


def test_columns_are_answered_with_outputs(client: AsgiClient) -> None:
    reply = client.request("POST", PREDICT, {"inputs": {"x": [[1, 2]]}, "signature_name": "serving_default"})
    assert (reply.status, reply.json) == (200, {"outputs": [[2, 4]]})


def test_nan_and_infinities_travel_as_tokens_both_ways_in_v1(client: AsgiClient) -> None:
    for rows in (1, 60):
        body = b'{"instances": [[NaN, -Infinity]' + b", [Infinity, 0.5]" * (rows - 1) + b"]}"
        reply = client.request("POST", PREDICT, body)
        assert reply.body == b'{"predictions":[[NaN,-Infinity]' + b",[Infinity,1.0]" * (rows - 1) + b"]}"


def test_version_zero_is_whichever_serves_in_v1(client: AsgiClient) -> None:
    reply = client.request("POST", "/v1/models/double/versions/0:predict", {"inputs": {"x": [[1, 2]]}})
    assert (reply.status, reply.headers["x-model-version"]) == (200, "1")
    assert client.request("GET", "/v1/models/double/versions/0").json["model_version_status"][0]["version"] == "1"
    assert client.request("GET", "/v2/models/double/versions/0").status == 404


def test_long_arrays_of_numbers_are_answered_like_short_ones(client: AsgiClient) -> None:
    rows = [[i / 4, -i] for i in range(100)]
    doubled = [[i / 2, -2.0 * i] for i in range(100)]
    flat = [value for row in rows for value in row]
    for body in ({"instances": rows}, {"instances": [{"x": row} for row in rows]}):
        assert client.request("POST", PREDICT, body).json == {"predictions": doubled}
    for columns in ({"inputs": rows}, {"inputs": {"x": rows}, "signature_name": "serving_default"}):
        assert client.request("POST", PREDICT, columns).json == {"outputs": doubled}
    for data in (flat, rows):
        reply = client.request("POST", INFER, {"inputs": [{**TENSOR, "shape": [100, 2], "data": data}]})
        assert reply.json["outputs"][0]["data"] == [value for row in doubled for value in row]


def test_tensors_are_answered_with_tensors(client: AsgiClient) -> None:
    reply = client.request("POST", INFER, {"id": "mine", "inputs": [TENSOR], "parameters": {"a": 1}})
    assert reply.status == 200
    assert reply.json == {
        "model_name": "double",
        "model_version": "1",
        "id": "mine",
        "parameters": {"prediction_id": reply.headers["x-prediction-id"]},
        "outputs": [{"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [2, 4]}],
    }


@pytest.mark.parametrize("way", ["ordinary"], indirect=True)  # on the lane it is the doors' in all cases
def test_an_answer_says_prediction_version_and_request(client: AsgiClient) -> None:
    headers = client.request("POST", PREDICT, {"instances": [[1, 2]]}, headers={"X-Request-Id": "abc"}).headers
    assert headers["x-model-version"] == "1"
    assert headers["x-request-id"] == "abc"
    assert len(headers["x-prediction-id"]) == 32


@pytest.mark.parametrize("way", ["ordinary"], indirect=True)  # on the lane it is the doors' in all cases
def test_the_request_id_is_the_doors_where_there_is_one(client: AsgiClient) -> None:
    for body in (b"", {"instances": [[1, 2]]}):
        alone = client.request("POST", PREDICT, body, headers={"X-Request-Id": "a"})
        behind = client.request("POST", PREDICT, body, headers={"X-Request-Id": "a"}, state={"request_id": "door"})
        assert alone.headers["x-request-id"] == "a"
        assert "x-request-id" not in behind.headers, "the door adds it"


def test_every_prediction_is_recorded_with_its_arrays(client: AsgiClient, recorder: ListRecorder) -> None:
    reply = client.request("POST", PREDICT, {"instances": [[1, 2], [3, 4]]})
    (event,) = recorder.events
    assert event.prediction_id == reply.headers["x-prediction-id"]
    source = event.source
    assert (source.endpoint, source.model, source.version, event.http_status) == ("double", "double", 1, 200)
    assert event.inputs is not None
    assert event.outputs is not None
    assert event.inputs["x"].tolist() == [[1, 2], [3, 4]]
    assert event.outputs["y"].tolist() == [[2, 4], [6, 8]]
    assert event.latency_ms > 0


@pytest.mark.parametrize(("body", "status"), [({"instances": [[1]]}, 400), ({"instances": [[POISON, 1]]}, 500)])
def test_every_failure_of_a_known_version_is_recorded(
    client: AsgiClient, recorder: ListRecorder, metrics: CountingMetrics, body: object, status: int
) -> None:
    assert client.request("POST", PREDICT, body).status == status
    (event,) = recorder.events
    assert (event.http_status, event.inputs, event.outputs) == (status, None, None)
    assert metrics.predictions == [("double", 1, status)]


@pytest.mark.parametrize(("body", "status"), [({"instances": [[1]]}, 400), ({"instances": [[POISON, 1]]}, 500)])
def test_a_failed_prediction_names_the_version_that_failed(
    serve: Callable[..., AsgiClient], body: object, status: int
) -> None:
    client = serve(route_of(make_loaded(FakeEngine(), version=7)))
    reply = client.request("POST", PREDICT, body)
    assert (reply.status, reply.headers["x-model-version"]) == (status, "7")
    unknown = client.request("POST", "/v1/models/nobody:predict", body)
    assert (unknown.status, "x-model-version" in unknown.headers) == (404, False)


def test_an_unknown_version_counts_for_the_endpoint_but_is_no_event(
    client: AsgiClient, recorder: ListRecorder, metrics: CountingMetrics
) -> None:
    reply = client.request("POST", "/v1/models/double/versions/7:predict", {"instances": [[1, 2]]})
    assert reply.status == 404
    assert "version 7" in reply.json["error"]
    assert "served versions: 1" in reply.json["error"]
    assert recorder.events == []
    assert metrics.predictions == [("double", 0, 404)]


def test_an_unknown_model_leaves_no_trace(client: AsgiClient, recorder: ListRecorder, metrics: CountingMetrics) -> None:
    reply = client.request("POST", "/v1/models/nobody:predict", {"instances": [[1, 2]]})
    assert (reply.status, reply.json["code"]) == (404, "not_found")
    assert recorder.events == []
    assert metrics.predictions == []


def test_a_version_or_label_can_be_asked_for(serve: Callable[..., AsgiClient]) -> None:
    one, two = make_loaded(FakeEngine()), make_loaded(FakeEngine(factor=10), version=2)
    client = serve(route_of(one, two, weights={1: 100, 2: 0}, labels={"challenger": 2}))
    body = {"instances": [[1, 1]]}
    for path in ("/v1/models/double/versions/2:predict", "/v1/models/double/labels/challenger:predict"):
        reply = client.request("POST", path, body)
        assert reply.json == {"predictions": [[10, 10]]}
        assert reply.headers["x-model-version"] == "2"
    infer = client.request("POST", "/v2/models/double/versions/2/infer", {"inputs": [TENSOR]})
    assert infer.json["model_version"] == "2"
    assert client.request("POST", PREDICT, body).json == {"predictions": [[2, 2]]}
    unknown = client.request("POST", "/v1/models/double/labels/nobody:predict", body)
    assert (unknown.status, "its labels: challenger" in unknown.json["error"]) == (404, True)


def test_a_version_that_loads_is_unavailable_for_now(serve: Callable[..., AsgiClient]) -> None:
    loading = PendingVersion(state=ReplicaState.LOADING)
    client = serve(Route(endpoint="double", weights={1: 100}, pending={1: loading}))
    for path in (PREDICT, "/v1/models/double/versions/1:predict"):
        reply = client.request("POST", path, {"instances": [[1, 1]]})
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert "version 1 of model 'double' is loading" in reply.json["error"]


def test_traffic_follows_the_weights(serve: Callable[..., AsgiClient], recorder: ListRecorder) -> None:
    one, two = make_loaded(FakeEngine()), make_loaded(FakeEngine(), version=2)
    table = RoutingTable()
    table.swap({"double": route_of(one, two, weights={1: 90, 2: 10})})
    chosen = [table.choose("double").version for _ in range(2000)]
    assert 120 < chosen.count(2) < 290
    assert {table.choose("double", key="same").version for _ in range(20)} in ({1}, {2})
    one.close()
    two.close()


def test_versions_that_are_loaded_share_the_traffic_of_those_that_are_not() -> None:
    one = make_loaded(FakeEngine())
    failed = PendingVersion(state=ReplicaState.FAILED, message="no memory")
    table = RoutingTable()
    table.swap({"double": route_of(one, weights={1: 1, 2: 99}, pending={2: failed})})
    assert {table.choose("double").version for _ in range(50)} == {1}
    assert table.is_ready
    one.close()


def test_calls_inside_the_platform_take_the_same_way(recorder: ListRecorder, metrics: CountingMetrics) -> None:
    serving = make_runtime(route_of(make_loaded(FakeEngine())))
    serving.connect(recorder=recorder, metrics=metrics)
    answer = serving.service.predict_rows(PredictRows(endpoint="double", instances=([1, 2], [3, 4])))
    assert answer.version == 1
    assert [dict(row) for row in answer.rows] == [{"y": [2, 4]}, {"y": [6, 8]}]
    assert recorder.events[0].prediction_id == answer.prediction_id
    serving.close()


def test_prediction_ids_sort_by_time_and_differ() -> None:
    ids = [new_prediction_id(1_700_000_000 + i / 1000) for i in range(100)]
    assert ids == sorted(ids)
    assert len({new_prediction_id(1.0) for _ in range(100)}) == 100
    assert {(len(i), i[12], i[16] in "89ab") for i in ids} == {(32, "7", True)}


def test_a_picture_is_predicted_like_its_pixels(serve: Callable[..., AsgiClient]) -> None:
    class Mean(FakeEngine):
        def run(self, inputs: Arrays) -> Arrays:
            return {"y": inputs["image"].mean(axis=(1, 2))}

    signature = Signature(inputs=(spec("image", shape=(-1, 2, 2, 1)),), outputs=(spec("y", shape=(-1, 1)),))
    manifest = make_manifest(signature, image=ImageInput(height=2, width=2, channels=1))
    client = serve(route_of(make_loaded(Mean(), manifest=manifest)))
    file = io.BytesIO()
    Image.new("L", (20, 20), 200).save(file, "PNG")
    body = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        + file.getvalue()
        + b"\r\n--b--\r\n"
    )
    reply = client.request("POST", PREDICT, body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert (reply.status, reply.json) == (200, {"predictions": [[200]]})
    assert len(reply.headers["x-prediction-id"]) == 32
    broken = client.request("POST", PREDICT, body[:90], headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert broken.status == 400


def test_a_large_body_is_answered_in_order(client: AsgiClient) -> None:
    rows = [[i, i] for i in range(1000, 5000)]
    body = b'{"instances": ' + json.dumps(rows).encode() + b" " * 300_000 + b"}"
    reply = client.request("POST", PREDICT, body)
    assert reply.status == 200, reply.body
    assert reply.json["predictions"] == [[2 * i, 2 * i] for i in range(1000, 5000)]


def test_a_caller_stays_with_one_version_and_moves_only_into_the_growing_share() -> None:
    one, two = make_loaded(FakeEngine()), make_loaded(FakeEngine(), version=2)
    table = RoutingTable()
    keys = [f"user-{number}" for number in range(1000)]
    inside: set[str] = set()
    for weight in (5, 25, 50, 100):
        table.swap({"double": route_of(one, two, weights={1: 100 - weight, 2: weight})})
        now = {key for key in keys if table.choose("double", key=key).version == 2}
        assert inside <= now
        assert abs(len(now) - 10 * weight) < 60
        inside = now
    one.close()
    two.close()


def test_the_header_or_else_the_user_decides_where_a_split_is_sticky() -> None:
    one, two = make_loaded(FakeEngine()), make_loaded(FakeEngine(), version=2)
    serving = make_runtime(route_of(one, two), routing_key_header="X-Routing-Key")
    client = AsgiClient(PredictApplication(serving))
    body = {"instances": [[1, 1]]}

    def version(key: str) -> str:
        return str(client.request("POST", PREDICT, body, headers={"x-routing-key": key}).headers["x-model-version"])

    by_key = {key: {version(key) for _ in range(5)} for key in map(str, range(20))}
    assert all(len(versions) == 1 for versions in by_key.values())
    assert set.union(*by_key.values()) == {"1", "2"}
    serving.close()
