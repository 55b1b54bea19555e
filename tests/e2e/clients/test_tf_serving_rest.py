"""Third parties over TF Serving's REST protocol, against a started server: ovmsclient, curl, schemathesis."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT
from tests.e2e.clients.environments import client_environment
from tests.e2e.clients.served import DIGITS
from tests.e2e.topology import Platform

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("e2e"),
    pytest.mark.parametrize("serving", ["single"], indirect=True),
]

MODEL = DIGITS
SHAPE = [8, 8, 1]
FUZZ_S = 25
LEAST_ANSWERS = 301


def curl(platform: Platform, path: str, *args: str) -> tuple[int, str, str]:
    """Return status, content type and body, as plain curl shows them."""
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-H", f"Authorization: Bearer {platform.token}",
         "-w", "\n%{http_code} %{content_type}", f"{platform.url}{path}", *args],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    body, _, last = done.stdout.rpartition("\n")
    status, _, content_type = last.partition(" ")
    return int(status), content_type, body


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def test_ovmsclient_predicts_and_reads_status_and_metadata(serving: Platform) -> None:
    environment = client_environment("ovmsclient")
    address = serving.url.removeprefix("http://")
    said = environment.run("ovms_http_calls.py", address, serving.token, MODEL, json.dumps(SHAPE))
    assert np.array(said["predicted"]).shape == (2, 10)
    assert np.array(said["predicted"]).sum(axis=1) == pytest.approx([1, 1], abs=1e-4)
    assert said["same"]
    assert said["status"] == {"1": {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
    assert said["protobuf_status"] == [[1, 30, 0]]
    assert said["model_spec"] == {"name": MODEL, "signature_name": "", "version": "1"}
    assert (said["method"], said["input_dtype"]) == ("tensorflow/serving/predict", 1)
    assert said["input_dims"] == [-1, *SHAPE]
    assert said["errors"] == {
        "unknown model": "ModelNotFoundError",
        "unknown version": "ModelNotFoundError",
        "wrong shape": "InvalidInputError",
        "wrong name": "InvalidInputError",
    }


@needs_curl
def test_curl_predicts_as_tf_serving_documents_it(serving: Platform) -> None:
    image = np.full(SHAPE, 128.5).tolist()
    row = json.dumps({"instances": [image, image]})
    status, content_type, body = curl(serving, f"/v1/models/{MODEL}:predict", "-d", row)  # a form, says curl
    assert (status, content_type) == (200, "application/json")
    first, second = json.loads(body)["predictions"]
    assert (len(first), first) == (10, pytest.approx(second, rel=1e-4))  # two places of one batch
    named = json.dumps({"signature_name": "serving_default", "inputs": {"image": [image]}})
    status, _, body = curl(serving, f"/v1/models/{MODEL}/versions/1:predict", "-d", named)
    assert (status, json.loads(body)["outputs"]) == (200, [pytest.approx(first, rel=1e-4)])
    examples = json.dumps({"examples": [{"image": np.ravel(image).tolist()}]})
    status, _, body = curl(serving, f"/v1/models/{MODEL}:classify", "-d", examples)
    (pairs,) = json.loads(body)["results"]
    assert (status, [label for label, _ in pairs]) == (200, [str(digit) for digit in range(10)])
    assert [score for _, score in pairs] == pytest.approx(first, rel=1e-4)


@needs_curl
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"/v1/models/{MODEL}:predict", '{"instances": [[1]], "inputs": [[1]]}', 400),
        (f"/v1/models/{MODEL}:predict", "{", 400),
        (f"/v1/models/{MODEL}:predict", "[" * 100_000, 400),
        (f"/v1/models/{MODEL}:regress", '{"examples": [{"image": [1]}]}', 400),
        (f"/v1/models/{MODEL}/labels/nobody:predict", '{"instances": [1]}', 404),
        (f"/v1/models/{MODEL}/versions/99:predict", '{"instances": [1]}', 404),
        ("/v1/models/nobody:predict", '{"instances": [1]}', 404),
    ],
    ids=range(7),
)
def test_curl_meets_an_error_as_json(serving: Platform, tmp_path: Path, path: str, body: str, status: int) -> None:
    (tmp_path / "body").write_text(body)
    got, content_type, answer = curl(serving, path, "-d", f"@{tmp_path / 'body'}")
    assert (got, content_type) == (status, "application/json")
    assert json.loads(answer)["error"]


def predict_document() -> dict[str, Any]:
    """Return the document of the predict protocols, with models that there are (not) and bodies that fit one."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
    document["paths"] = {path: item for path, item in document["paths"].items() if path.startswith(("/v1/", "/v2"))}
    choices = {"model": [MODEL, "nobody"], "version": ["1", "99"], "label": ["champion", "nobody"]}
    for operation in (operation for item in document["paths"].values() for operation in item.values()):
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path":
                parameter["schema"] = {"type": "string", "enum": choices[parameter["name"]]}
    image = np.full(SHAPE, 128.5)
    tensor = {"name": "image", "shape": [1, *SHAPE], "datatype": "FP32", "data": image.ravel().tolist()}
    schemas = document["components"]["schemas"]
    schemas["V1PredictRequest"]["example"] = {"instances": [image.tolist()]}
    schemas["V1ExamplesRequest"]["example"] = {"examples": [{"image": image.ravel().tolist()}]}
    schemas["V2InferRequest"]["example"] = {"inputs": [tensor]}
    return document


def test_schemathesis_finds_no_server_error_and_no_answer_beside_the_document(
    serving: Platform, tmp_path: Path
) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(predict_document()))
    (tmp_path / "schemathesis.toml").write_text("")
    environment = client_environment("schemathesis")
    said = environment.run(
        "schemathesis_run.py", str(tmp_path / "openapi.json"), serving.url, serving.token, str(FUZZ_S),
        str(LEAST_ANSWERS), timeout_s=600,
    )  # fmt: skip
    assert said["status"] == 0, said["output"]
    assert serving.request("GET", "/v2/health/live").status_code == 200
    answers = {int(status): count for status, count in said["answers"].items()}
    print(f"schemathesis: {said['predictions']} predictions; answers by status: {answers}")
    assert said["predictions"] >= 4, answers  # the examples reach the engine
    assert sum(answers.values()) >= LEAST_ANSWERS, answers
