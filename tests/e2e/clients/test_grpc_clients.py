"""Third-party gRPC clients as they are, each in an environment of its own, against a started platform."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.e2e.clients.environments import ClientEnvironment, client_environment
from tests.e2e.clients.served import CUSTOMERS, DIGITS
from tests.e2e.clients.tensorflow_environment import tensorflow_client_environment
from tests.e2e.topology import Platform

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]


@pytest.fixture(scope="module")
def expected(serving: Platform) -> Any:
    """Give what REST answers to the pictures that the clients' scripts send."""
    images = np.linspace(0, 255, 2 * 64, dtype=np.float32).reshape(2, 8, 8, 1)
    return serving.post_json(f"/v1/models/{DIGITS}:predict", {"instances": images.tolist()})["predictions"]


def calls(environment: ClientEnvironment, script: str, platform: Platform) -> dict[str, Any]:
    said: dict[str, Any] = environment.run(script, platform.grpc_address, platform.token, DIGITS)
    return said


def close(found: Any, expected: Any) -> bool:
    return bool(np.allclose(np.reshape(found, np.shape(expected)), expected, rtol=1e-5, atol=1e-6))


def test_tritonclients_grpc_client_works_unmodified(serving: Platform, expected: Any) -> None:
    said = calls(client_environment("tritonclient-grpc"), "tritonclient_grpc_calls.py", serving)
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
    assert said["config"] == [DIGITS, [{"name": "image", "data_type": "TYPE_FP32", "dims": ["8", "8", "1"]}], 64]
    assert said["statistics"] == [[DIGITS, "1", True]]
    assert sorted(said["index"]) == [[CUSTOMERS, "1", "READY"], [DIGITS, "1", "READY"]]


def test_ovmsclients_grpc_client_works_unmodified(serving: Platform, expected: Any) -> None:
    said = calls(client_environment("ovmsclient"), "ovmsclient_grpc_calls.py", serving)
    assert said["status"] == {"1": {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
    assert (said["model_version"], said["inputs"]) == (1, {"image": [[-1, 8, 8, 1], "DT_FLOAT"]})
    assert close(said["outputs"], expected)
    assert close(said["named"], expected)
    assert "token" in said["no_token"]
    assert "none" in said["unknown_model"]


def test_tensorflow_servings_stubs_work_unmodified(serving: Platform, expected: Any) -> None:
    said = calls(tensorflow_client_environment(), "tensorflow_serving_api_calls.py", serving)
    assert all(close(said[name], expected) for name in ("outputs", "named", "typed", "classes"))
    assert (said["float_val"], said["version"], said["method"]) == (20, 1, "tensorflow/serving/predict")
    assert said["input"] == [1, [-1, 8, 8, 1]]
    assert said["states"] == [[1, 30, 0]]
    assert said["no_token"] == "UNAUTHENTICATED"
    assert said["unknown_model"] == said["unknown_version"] == "NOT_FOUND"
