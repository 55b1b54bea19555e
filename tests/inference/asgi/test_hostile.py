"""Bodies and headers that break a rule: always told which, never a 5xx."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aiplatform.tensors import DType, Signature
from tests.inference.serving_fakes import AsgiClient, FakeEngine, make_loaded, make_manifest, route_of, spec

PREDICT = "/v1/models/double:predict"
INFER = "/v2/models/double/infer"


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changes}]}


BROKEN_ROWS: list[tuple[bytes | dict[str, Any], str]] = [
    (b"", "empty"),
    (b"\xff\xfe{", "not valid JSON"),
    (b'{"instances": [[1, "\xff"]]}', "not valid JSON"),
    (b'{"instances": ', "not valid JSON"),
    (b'{"instances": [[NaN, 1]]}', "not valid JSON"),
    (b'{"instances": [[1e999, 1]]}', "not valid JSON"),
    (b'{"instances": ' + b"[" * 100_000, "depth limit"),
    (b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}", "dimension 1 must be 2, not 1"),
    (b'{"a":' * 2000, "depth limit"),
    (b"[]", "an array"),
    (b"null", "null"),
    ({}, "neither"),
    ({"instances": [[1, 2]], "inputs": [[1, 2]]}, "both"),
    ({"instances": []}, "an empty array"),
    ({"instances": 3}, "a number"),
    ({"instances": [[1, 2], [3]]}, "ragged"),
    ({"instances": [[1, 2], 3]}, "a number stands where an array of dimension 1 belongs"),
    ({"instances": [[1, 2, 3]]}, "dimension 1 must be 2, not 3"),
    ({"instances": [[]]}, "dimension 1 must be 2, not 0"),
    ({"instances": [[[1], [2]]]}, "nested deeper"),
    ({"instances": [["1", "2"]]}, "takes FP32 values, not '1'"),
    ({"instances": [[1, True]]}, "takes FP32 values, not True"),
    ({"instances": [[1, {}]]}, "takes FP32 values, not {}"),
    ({"instances": [[1, 1e300]]}, "out of range for FP32"),
    ({"instances": [{"x": [1, 2]}, [1, 2]]}, "instance 1 must be an object"),
    ({"instances": [{"z": [1, 2]}]}, "no input is named 'z'"),
    ({"instances": [{"x": [1, 2], "z": 1}]}, "no input is named 'z'"),
    ({"instances": [{}]}, "instance 0 lacks input 'x'"),
    ({"instances": [{"b64": "AAAA"}]}, "an object stands where"),
    ({"inputs": {}}, "lacks input 'x'"),
    ({"inputs": {"z": []}}, "no input is named 'z'"),
    ({"inputs": "text"}, "a string stands where"),
    ({"instances": [[1, 2]], "signature_name": "other"}, "signature_name"),
    ({"instances": [[1, 2]], "signature_name": ["x"] * 1000}, "signature_name"),
]
BROKEN_TENSORS: list[tuple[dict[str, Any], str]] = [
    ({}, "'inputs' must be an array"),
    ({"inputs": {}}, "'inputs' must be an array"),
    ({"inputs": []}, "lacks input 'x'"),
    ({"inputs": ["x"]}, "'inputs' must be an array of objects"),
    ({"inputs": [{}]}, "string 'name'"),
    (tensor(name="z"), "no input is named 'z'"),
    (tensor(datatype="FP64"), "datatype FP32, not FP64"),
    (tensor(datatype=None), "string 'datatype'"),
    (tensor(shape=None), "'shape' must be"),
    (tensor(shape=[1, 2.5]), "'shape' must be"),
    (tensor(shape=[1, -2]), "'shape' must be"),
    (tensor(shape=[True, 2]), "'shape' must be"),
    (tensor(shape=[2]), "must have shape"),
    (tensor(shape=[1, 3]), "must have shape"),
    (tensor(shape=[10**18, 2]), "needs 2000000000000000000 values, not 2"),
    (tensor(shape=[10**30, 2]), "'shape' must be"),
    (tensor(shape=[10**400, 2]), "not valid JSON"),
    (tensor(shape=[0, 2], data=[]), "no rows"),
    (tensor(data=None), "data must be an array"),
    (tensor(data=[1]), "needs 2 values, not 1"),
    (tensor(data=[[1, 2], [3, 4]]), "data has shape [2, 2], not [1, 2]"),
    (tensor(data=[1, [2]]), "nested deeper"),
    (tensor(data=["1", "2"]), "takes FP32 values"),
    ({"inputs": [*tensor()["inputs"], *tensor()["inputs"]]}, "given twice"),
    ({**tensor(), "outputs": [{"name": "z"}]}, "no output is named 'z'"),
    ({**tensor(), "outputs": ["y"]}, "'outputs' must be an array of objects"),
    ({**tensor(), "id": 7}, "'id' must be a string"),
    (
        {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]},
        "say 8 bytes of binary data; 0 come after the JSON part",
    ),
]


@pytest.mark.parametrize(("body", "rule"), BROKEN_ROWS, ids=range(len(BROKEN_ROWS)))
def test_a_broken_row_request_is_told_the_rule(client: AsgiClient, body: bytes | dict[str, Any], rule: str) -> None:
    reply = client.request("POST", PREDICT, body)
    assert (reply.status, reply.json["code"]) == (400, "invalid_input")
    assert rule in reply.json["error"]
    assert len(reply.body) < 700


@pytest.mark.parametrize(("body", "rule"), BROKEN_TENSORS, ids=range(len(BROKEN_TENSORS)))
def test_a_broken_tensor_request_is_told_the_rule(client: AsgiClient, body: dict[str, Any], rule: str) -> None:
    raw = json.dumps(body).encode()
    reply = client.request("POST", INFER, raw)
    assert reply.status == 400, reply.body
    assert rule in reply.json["error"]


def test_one_long_string_among_many_short_ones_takes_no_more_memory_than_it_has(client: AsgiClient) -> None:
    body = {"instances": [["x" * 500_000, *["y"] * 50_000]]}
    assert client.request("POST", PREDICT, body).status == 400


def test_a_body_beyond_the_limit_is_refused_with_the_setting(serve: Callable[..., AsgiClient]) -> None:
    client = serve(route_of(make_loaded(FakeEngine())), max_body_bytes=100)
    reply = client.request("POST", PREDICT, b" " * 101)
    assert (reply.status, reply.json["details"]["setting"]) == (413, "MAX_BODY_BYTES")


@pytest.mark.parametrize("text", ["0", "-5", "1.5", "soon", "\uff11", "1e3"])
def test_a_deadline_that_is_no_number_is_refused(client: AsgiClient, text: str) -> None:
    raw = text.encode("utf-8").decode("latin-1")
    reply = client.request("POST", PREDICT, {"instances": [[1, 2]]}, headers={"X-Request-Timeout-Ms": raw})
    assert reply.status == 400


def test_a_model_of_several_inputs_wants_named_values(serve: Callable[..., AsgiClient]) -> None:
    signature = Signature(
        inputs=(spec("age", shape=(-1, 1)), spec("city", DType.BYTES, (-1, 1)), spec("n", DType.INT64, (-1, 1))),
        outputs=(spec("y"),),
    )
    client = serve(route_of(make_loaded(FakeEngine(), manifest=make_manifest(signature))))
    good = {"age": 1, "city": "Rome", "n": 1}
    broken: list[tuple[Any, str]] = [
        ([1, 2], "must be an object with age, city, n"),
        ({**good, "n": 1.5}, "whole numbers"),
        ({**good, "n": 2**63}, "out of range for INT64"),
        ({**good, "n": None}, "takes INT64 values, not None"),
        ({**good, "city": 5}, "takes BYTES values, not 5"),
        ({**good, "city": {"b64": "!"}}, "invalid base64"),
        ({**good, "city": {"b64": "AA==", "more": 1}}, "takes strings or"),
        ({**good, "age": [1, 2]}, "dimension 1 must be 1, not 2"),
        ({"age": 1, "n": 1}, "lacks input 'city'"),
    ]
    for instance, rule in broken:
        reply = client.request("POST", PREDICT, {"instances": [instance]})
        assert (reply.status, rule in reply.json["error"]) == (400, True), reply.body
