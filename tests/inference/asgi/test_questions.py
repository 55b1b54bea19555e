"""The GET half: status, metadata, readiness, and what a wrong method meets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aiplatform.contracts.inference import ReplicaState
from inference.asgi import PredictApplication
from inference.routing_table import PendingVersion, Route
from inference.scheduler import BatchLimits
from inference.serving import ServingOptions, ServingRuntime
from tests.inference.serving_fakes import AsgiClient, FakeEngine, make_loaded, route_of

LOADING = PendingVersion(state=ReplicaState.LOADING)
FAILED = PendingVersion(state=ReplicaState.FAILED, message="wrong outputs")


def test_status_shows_every_version_with_its_number_as_text(serve: Callable[..., AsgiClient]) -> None:
    client = serve(route_of(make_loaded(FakeEngine()), pending={2: LOADING, 3: FAILED}))
    states = client.request("GET", "/v1/models/double").json["model_version_status"]
    assert [(s["version"], s["state"]) for s in states] == [("3", "END"), ("2", "LOADING"), ("1", "AVAILABLE")]
    assert states[2]["status"] == {"error_code": "OK", "error_message": ""}
    assert states[0]["status"]["error_message"] == "wrong outputs"
    one = client.request("GET", "/v1/models/double/versions/2").json["model_version_status"]
    assert [s["version"] for s in one] == ["2"]
    assert client.request("GET", "/v1/models/double/versions/9").status == 404


def test_metadata_nests_the_signature_twice(client: AsgiClient) -> None:
    body = client.request("GET", "/v1/models/double/metadata").json
    assert body["model_spec"] == {"name": "double", "signature_name": "", "version": "1"}
    definition = body["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert [d["size"] for d in definition["inputs"]["x"]["tensor_shape"]["dim"]] == ["-1", "2"]
    assert definition["method_name"] == "tensorflow/serving/predict"


def test_the_server_says_who_it_is(client: AsgiClient) -> None:
    body = client.request("GET", "/v2").json
    assert body["name"] == "aiplatform"
    assert body["extensions"] == [
        "binary_tensor_data",
        "classification",
        "model_configuration",
        "model_repository(index)",
        "statistics",
    ]
    assert client.request("GET", "/v2/health/live").json == {"live": True}


def test_a_model_describes_its_tensors(serve: Callable[..., AsgiClient]) -> None:
    client = serve(route_of(make_loaded(FakeEngine()), make_loaded(FakeEngine(), version=2)))
    assert client.request("GET", "/v2/models/double").json == {
        "name": "double",
        "versions": ["1", "2"],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }
    assert client.request("GET", "/v2/models/double/versions/2").json["versions"] == ["2"]


def test_a_process_is_ready_when_every_endpoint_with_traffic_can_answer(serve: Callable[..., AsgiClient]) -> None:
    waiting = Route(endpoint="other", weights={1: 100}, pending={1: LOADING})
    idle = Route(endpoint="idle", weights={1: 0}, pending={1: LOADING})
    not_yet = serve(route_of(make_loaded(FakeEngine())), waiting)
    reply = not_yet.request("GET", "/v2/health/ready")
    assert (reply.status, reply.json) == (503, {"ready": False})
    ready = serve(route_of(make_loaded(FakeEngine())), idle).request("GET", "/v2/health/ready")
    assert (ready.status, ready.json) == (200, {"ready": True})


def test_a_process_that_has_not_looked_yet_is_not_ready() -> None:
    options = ServingOptions(
        limits=BatchLimits(),
        deadline_s=1,
        max_deadline_s=1,
        max_body_bytes=1,
        max_image_pixels=1,
    )
    serving = ServingRuntime(options)
    client = AsgiClient(PredictApplication(serving))
    assert client.request("GET", "/v2/health/ready").status == 503
    serving.table.swap({})
    assert client.request("GET", "/v2/health/ready").status == 200


def test_a_model_is_ready_by_version(serve: Callable[..., AsgiClient]) -> None:
    client = serve(route_of(make_loaded(FakeEngine()), pending={2: LOADING}))
    reply = client.request("GET", "/v2/models/double/ready")
    assert (reply.status, reply.json) == (200, {"name": "double", "ready": True})
    assert client.request("GET", "/v2/models/double/versions/1/ready").status == 200
    assert client.request("GET", "/v2/models/double/versions/2/ready").status == 503
    assert client.request("GET", "/v2/models/double/versions/3/ready").status == 404
    assert client.request("GET", "/v2/models/nobody/ready").status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/models/double:predict", "POST"),
        ("GET", "/v1/models/double:classify", "POST"),
        ("POST", "/v1/models/double", "GET"),
        ("GET", "/v2/models/double/infer", "POST"),
        ("DELETE", "/v2/health/live", "GET"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(client: AsgiClient, method: str, path: str, allowed: str) -> None:
    reply = client.request(method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert reply.json["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/double:explain", 404),
        ("/v1/models/", 404),
        ("/v2/nothing", 404),
        ("/v1/models/double/versions/one", 400),
        ("/v1/models/double/versions/-1", 400),
        ("/v1/models/double/versions/99999999999999999999", 400),
        ("/v1/models/double/versions/1/labels/a", 404),
        ("/v1/models/dou\nble", 404),
    ],
)
def test_a_path_that_means_nothing_is_refused(client: AsgiClient, path: str, status: int) -> None:
    assert client.request("GET", path).status == status
