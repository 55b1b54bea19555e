"""tritonclient.http and KServe's InferenceRESTClient, unmodified, against a started platform.

Once in one process tree, and once with a gateway in front of an inference service.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.e2e.clients.environments import client_environment
from tests.e2e.clients.served import CUSTOMERS, DIGITS
from tests.e2e.topology import Platform

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]

IMAGES = np.random.default_rng(3).uniform(0, 255, (4, 8, 8, 1)).astype(np.float32)  # as the scripts send them


@pytest.fixture(scope="module")
def triton(serving: Platform) -> Any:
    """Give what tritonclient said of all its calls."""
    environment = client_environment("tritonclient-http")
    return environment.run("tritonclient_http_calls.py", serving.url, serving.token, DIGITS, CUSTOMERS)


@pytest.fixture(scope="module")
def kserve(serving: Platform) -> Any:
    """Give what KServe's client said of all its calls."""
    environment = client_environment("kserve")
    return environment.run("kserve_rest_calls.py", serving.url, serving.token, DIGITS, CUSTOMERS)


def over_v1(platform: Platform) -> Any:
    """Return the probabilities that the other protocol gives for the same images."""
    return platform.post_json(f"/v1/models/{DIGITS}:predict", {"instances": IMAGES.tolist()})["predictions"]


def assert_close(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(got), np.array(expected), rtol=1e-4, atol=1e-5)


def test_triton_asks_for_health_and_readiness(triton: Any) -> None:
    said = triton["questions"]
    assert [said[key] for key in ("live", "ready", "model_ready", "version_ready")] == [True] * 4
    assert said["unknown_ready"] is False


def test_triton_reads_metadata_configuration_and_index(triton: Any) -> None:
    said = triton["questions"]
    assert said["server"]["name"] == "aiplatform"
    assert {"binary_tensor_data", "classification", "statistics"} <= set(said["server"]["extensions"])
    assert said["metadata"]["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 8, 8, 1]}]
    assert said["config"]["input"] == [{"name": "image", "data_type": "TYPE_FP32", "dims": [8, 8, 1]}]
    states = {(item["name"], item["version"]): item["state"] for item in said["index"]}
    assert states == {(DIGITS, "1"): "READY", (CUSTOMERS, "1"): "READY"}


def test_triton_gets_the_same_answer_every_way_it_can_ask(triton: Any, serving: Platform) -> None:
    said, expected = triton["answers"], over_v1(serving)
    ways = ("binary", "json", "json_in_binary_out", "binary_in_json_out", "version", "async", "gzip", "deflate")
    for way in ways:
        assert_close(said[way], expected)


def test_triton_unpacks_large_answers(triton: Any) -> None:
    assert triton["large"] == {"gzip_is_the_same": True, "deflate_is_the_same": True, "rows": 128}


def test_triton_reads_ids_and_names_in_a_binary_answer(triton: Any) -> None:
    head = triton["answers"]["head"]
    assert (head["model_name"], head["model_version"], head["id"]) == (DIGITS, "1", "mine")
    assert len(head["parameters"]["prediction_id"]) == 32
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 160}


def test_triton_gets_classes_with_labels(triton: Any) -> None:
    best = np.argmax(triton["answers"]["binary"], axis=1)
    classes = triton["answers"]["classes_json"]
    assert (classes["datatype"], classes["shape"]) == ("BYTES", [4, 3])
    assert triton["answers"]["classes"] == classes["data"], "binary and JSON say the same"
    for row, index in enumerate(best):
        value, place, label = classes["data"][3 * row].split(":")
        assert (int(place), label) == (index, str(index))
        assert float(value) == pytest.approx(triton["answers"]["binary"][row][index], abs=1e-4)


def test_triton_sends_texts(triton: Any, serving: Platform) -> None:
    rows = [{"age": 30, "city": "Rome"}, {"age": 60, "city": "Århus"}]
    expected = serving.post_json(f"/v1/models/{CUSTOMERS}:predict", {"instances": rows})["predictions"]
    assert_close(triton["answers"]["texts_binary"], expected)
    assert_close(triton["answers"]["texts_json"], expected)


def test_triton_reads_statistics(triton: Any) -> None:
    (stats,) = triton["statistics"]["model_stats"]
    assert (stats["name"], stats["version"]) == (DIGITS, "1")
    assert [item["version"] for item in triton["version_statistics"]["model_stats"]] == ["1"]
    assert {item["name"] for item in triton["all_statistics"]["model_stats"]} == {DIGITS, CUSTOMERS}
    assert {"success", "fail"} == set(stats["inference_stats"])


@pytest.mark.parametrize(
    ("call", "status", "reason"),
    [
        ("unknown_model", "404", "no model is served under the name 'nobody'"),
        ("unknown_version", "404", "version 99"),
        ("wrong_size", "400", "needs 256 bytes, not 3"),
        ("no_token", "401", "token"),
        ("wrong_token", "401", "token"),
        ("load", "400", "not loaded or unloaded over this protocol"),
        ("unload", "400", "not loaded or unloaded over this protocol"),
        ("trace", "404", "trace settings"),
        ("model_trace", "404", "trace settings"),
        ("log", "404", "log settings"),
        ("shared_memory", "404", "shared memory"),
    ],
)
def test_triton_is_told_why_it_is_refused(triton: Any, call: str, status: str, reason: str) -> None:
    error = triton["refusals"][call]
    assert error is not None, "it was not refused"
    assert (error["status"], reason in error["message"]) == (status, True), error


def test_kserve_asks_for_health_and_readiness(kserve: Any) -> None:
    assert [kserve[key] for key in ("live", "ready", "model_ready", "unknown_ready")] == [True, True, True, False]


def test_kserve_predicts_with_json_and_binary(kserve: Any, serving: Platform) -> None:
    expected = over_v1(serving)
    for way in ("json", "binary"):
        assert (kserve[way]["model_name"], kserve[way]["id"]) == (DIGITS, "mine")
        assert_close(kserve[way]["probabilities"], expected)
    assert_close(kserve["texts_json"]["probabilities"], kserve["texts_binary"]["probabilities"])
    assert kserve["texts_json"]["model_name"] == CUSTOMERS


def test_kserve_is_told_why_it_is_refused(kserve: Any) -> None:
    assert kserve["unknown_model"]["status"] == 404
    assert "no model is served under the name 'nobody'" in kserve["unknown_model"]["message"]
    assert kserve["no_token"]["status"] == 401
    assert "token" in kserve["no_token"]["message"]
