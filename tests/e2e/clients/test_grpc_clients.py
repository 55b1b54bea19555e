"""Third-party gRPC clients as they are, each in an environment of its own, against a started platform."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.e2e.clients.environments import ClientEnvironment, client_environment
from tests.e2e.clients.tensorflow_environment import tensorflow_client_environment
from tests.e2e.topology import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]

MODEL = "digits"


@pytest.fixture(scope="module")
def served(any_platform: Platform) -> Platform:
    """Give the platform with version 1 of `digits` served."""
    done = any_platform.run_manage(
        "train", "run", "keras_cnn", "--data", "digits", "--name", MODEL, "--set", "epochs=1", "--deploy", "--wait",
        "--json",
    )  # fmt: skip
    assert json.loads(done.stdout.strip().splitlines()[-1])["state"] == "succeeded"
    wait_until(
        lambda: any_platform.request("GET", f"/v2/models/{MODEL}/versions/1/ready").status_code == 200,
        within_s=90,
        what=lambda: "version 1 is served\n" + "\n".join(s.tail(15) for s in any_platform.servers.values()),
    )
    return any_platform


@pytest.fixture(scope="module")
def expected(served: Platform) -> Any:
    """Give what REST answers to the pictures that the clients' scripts send."""
    images = np.linspace(0, 255, 2 * 64, dtype=np.float32).reshape(2, 8, 8, 1)
    return served.post_json(f"/v1/models/{MODEL}:predict", {"instances": images.tolist()})["predictions"]


def calls(environment: ClientEnvironment, script: str, platform: Platform) -> dict[str, Any]:
    said: dict[str, Any] = environment.run(script, platform.grpc_address, platform.token, MODEL)
    return said


def close(found: Any, expected: Any) -> bool:
    return bool(np.allclose(np.reshape(found, np.shape(expected)), expected, rtol=1e-5, atol=1e-6))


def test_tritonclients_grpc_client_works_unmodified(served: Platform, expected: Any) -> None:
    said = calls(client_environment("tritonclient-grpc"), "tritonclient_grpc_calls.py", served)
    assert (said["live"], said["ready"], said["model_ready"], said["server"]) == (True, True, True, "aiplatform")
    assert said["inputs"] == [{"name": "image", "datatype": "FP32", "shape": ["-1", "8", "8", "1"]}]
    assert (said["id"], said["version"]) == ("mine", "1")
    assert all(
        close(outputs, expected) for outputs in (said["outputs"], said["named"], said["urgent"], *said["parallel"])
    )
    assert len(said["parallel"]) == 8
    assert said["no_token"] == "StatusCode.UNAUTHENTICATED"
    assert said["unknown_model"] == said["unknown_version"] == "StatusCode.NOT_FOUND"
    assert said["late"] == "StatusCode.DEADLINE_EXCEEDED"
    assert said["too_urgent"] == "StatusCode.INVALID_ARGUMENT"
    assert said["config"] == [MODEL, [{"name": "image", "data_type": "TYPE_FP32", "dims": ["8", "8", "1"]}], 64]
    assert said["statistics"] == [[MODEL, "1", True]]
    assert said["index"] == [[MODEL, "1", "READY"]]


def test_ovmsclients_grpc_client_works_unmodified(served: Platform, expected: Any) -> None:
    said = calls(client_environment("ovmsclient"), "ovmsclient_grpc_calls.py", served)
    assert said["status"] == {"1": {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
    assert (said["model_version"], said["inputs"]) == (1, {"image": [[-1, 8, 8, 1], "DT_FLOAT"]})
    assert close(said["outputs"], expected)
    assert close(said["named"], expected)
    assert "token" in said["no_token"]
    assert "none" in said["unknown_model"]


def test_tensorflow_servings_stubs_work_unmodified(served: Platform, expected: Any) -> None:
    said = calls(tensorflow_client_environment(), "tensorflow_serving_api_calls.py", served)
    assert all(close(said[name], expected) for name in ("outputs", "named", "typed", "classes"))
    assert (said["float_val"], said["version"], said["method"]) == (20, 1, "tensorflow/serving/predict")
    assert said["input"] == [1, [-1, 8, 8, 1]]
    assert said["states"] == [[1, 30, 0]]
    assert said["no_token"] == "UNAUTHENTICATED"
    assert said["unknown_model"] == said["unknown_version"] == "NOT_FOUND"
