"""TF Serving's `:classify` and `:regress`: who can answer them, and how requests and answers look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aiplatform.artifacts import Manifest
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.engines import Arrays
from tests.inference.serving_fakes import AsgiClient, FakeEngine, make_loaded, make_manifest, route_of, spec

CLASSIFY, REGRESS = "/v1/models/double:classify", "/v1/models/double:regress"
TABLE = (spec("age", shape=(-1, 1)), spec("city", DType.BYTES, (-1, 1)), spec("pair", DType.INT64, (-1, 2)))
SCORES = spec("probabilities", shape=(-1, 3))


class TableEngine(FakeEngine):
    """Scores a row by its own values, so that every column's place shows in the answer."""

    def run(self, inputs: Arrays) -> Arrays:
        pair = inputs["pair"].astype(np.float32)
        lengths = np.array([[len(city[0])] for city in inputs["city"]], dtype=np.float32)
        score = inputs["age"] + lengths
        return {"probabilities": np.concatenate([pair, score], axis=1), "y": score}


def manifest(*outputs: TensorSpec, task: str, labels: tuple[str, ...] = (), inputs: Any = TABLE) -> Manifest:
    signature = Signature(inputs=inputs, outputs=outputs)
    return replace(make_manifest(signature), task=task, labels=labels)


@pytest.fixture
def classifier(serve: Callable[..., AsgiClient]) -> AsgiClient:
    made = manifest(SCORES, spec("y", shape=(-1, 1)), task="tabular_classification", labels=("a", "b", "c"))
    return serve(route_of(make_loaded(TableEngine(), manifest=made)))


@pytest.fixture
def regressor(serve: Callable[..., AsgiClient]) -> AsgiClient:
    made = manifest(spec("y", shape=(-1, 1)), task="regression")
    return serve(route_of(make_loaded(TableEngine(), manifest=made)))


def test_a_classification_gives_every_class_with_its_score(classifier: AsgiClient) -> None:
    examples = [{"age": 1, "city": "Rome", "pair": [2, 3]}, {"age": [2.5], "city": {"b64": "T3Nsbw=="}, "pair": [4, 5]}]
    reply = classifier.request("POST", CLASSIFY, {"examples": examples})
    assert reply.status == 200, reply.body
    assert reply.body == (b'{"results":[[["a",2.0],["b",3.0],["c",5.0]],[["a",4.0],["b",5.0],["c",6.5]]]}')
    assert reply.headers["x-model-version"] == "1"


def test_a_regression_gives_one_number_an_example(regressor: AsgiClient) -> None:
    examples = [{"age": 1, "city": "Rome", "pair": [2, 3]}, {"age": float("nan"), "city": "", "pair": [4, 5]}]
    reply = regressor.request("POST", REGRESS, {"examples": examples, "signature_name": "tensorflow/serving/regress"})
    assert (reply.status, reply.body) == (200, b'{"results":[5.0,NaN]}')


def test_the_context_belongs_to_every_example(regressor: AsgiClient) -> None:
    body = {"context": {"city": "Oslo", "pair": [0, 0]}, "examples": [{"age": 1}, {"age": 2, "unknown": "passed over"}]}
    assert regressor.request("POST", REGRESS, body).json == {"results": [5.0, 6.0]}


def test_an_example_of_a_picture_is_its_flat_list_of_values(serve: Callable[..., AsgiClient]) -> None:
    made = manifest(spec("y", shape=(-1, 4)), task="image_classification", inputs=(spec("x", shape=(-1, 2, 2, 1)),))

    class Flat(FakeEngine):
        def run(self, inputs: Arrays) -> Arrays:
            return {"y": inputs["x"].reshape(-1, 4)}

    client = serve(route_of(make_loaded(Flat(), manifest=made)))
    reply = client.request("POST", CLASSIFY, {"examples": [{"x": [1, 2, 3, 4]}]})
    assert reply.json == {"results": [[["", 1.0], ["", 2.0], ["", 3.0], ["", 4.0]]]}  # no labels are known


GOOD = {"age": 1, "city": "Rome", "pair": [2, 3]}
BROKEN: list[tuple[bytes | dict[str, Any], str]] = [
    (b"", "empty"),
    (b"[]", "an array"),
    (b'{"examples": [' + b"[" * 100_000, "depth limit"),
    ({}, "'examples' must be an array of at least one object, not null"),
    ({"examples": []}, "an empty array"),
    ({"examples": {}}, "an object"),
    ({"examples": [1]}, "example 0 must be an object of features, not a number"),
    ({"examples": [GOOD, None]}, "example 1 must be an object of features, not null"),
    ({"examples": [GOOD], "context": []}, "'context' must be an object of features, not an array"),
    ({"examples": [GOOD], "context": {"age": 1}}, "feature 'age' stands in 'context' and in example 0"),
    ({"examples": [{"age": 1, "city": "Rome"}]}, "example 0 lacks input 'pair'"),
    ({"examples": [{**GOOD, "pair": [1]}]}, "example 0: feature 'pair' needs 2 values, not 1"),
    ({"examples": [{**GOOD, "pair": 1}]}, "needs 2 values, not 1"),
    ({"examples": [{**GOOD, "pair": [[1], [2]]}]}, "must be a flat list of values"),
    ({"examples": [{**GOOD, "age": []}]}, "needs 1 values, not 0"),
    ({"examples": [{**GOOD, "age": "1"}]}, "takes FP32 values, not '1'"),
    ({"examples": [{**GOOD, "age": {}}]}, "takes FP32 values, not {}"),
    ({"examples": [{**GOOD, "pair": [1.5, 1]}]}, "whole numbers"),
    ({"examples": [{**GOOD, "city": {"b64": "!"}}]}, "invalid base64"),
    ({"examples": [GOOD], "signature_name": "other"}, "signature_name"),
]


@pytest.mark.parametrize(("body", "rule"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_example_request_is_told_the_rule(
    regressor: AsgiClient, body: bytes | dict[str, Any], rule: str
) -> None:
    reply = regressor.request("POST", REGRESS, body)
    assert (reply.status, reply.json["code"]) == (400, "invalid_input")
    assert rule in reply.json["error"]


def test_a_model_of_the_other_kind_is_refused_with_what_it_answers(
    classifier: AsgiClient, regressor: AsgiClient
) -> None:
    wrong = classifier.request("POST", REGRESS, {"examples": [GOOD]})
    assert (wrong.status, "it answers ':classify' and ':predict'" in wrong.json["error"]) == (400, True)
    wrong = regressor.request("POST", CLASSIFY, {"examples": [GOOD]})
    assert (wrong.status, "it answers ':regress' and ':predict'" in wrong.json["error"]) == (400, True)


@pytest.mark.parametrize(
    ("outputs", "inputs", "rule"),
    [
        ((spec("y", shape=(-1, 2)),), TABLE, "no single output with one number a row"),
        ((spec("y", DType.BYTES, (-1, 1)),), TABLE, "no single output with one number a row"),
        ((spec("a", shape=(-1,)), spec("b", shape=(-1, 1))), TABLE, "no single output with one number a row"),
        ((spec("y", shape=(-1, 1)),), (spec("x", shape=(-1, -1)),), "has no fixed number of values a row"),
    ],
)
def test_a_model_without_one_answer_a_row_is_refused(
    serve: Callable[..., AsgiClient], outputs: Any, inputs: Any, rule: str
) -> None:
    made = manifest(*outputs, task="regression", inputs=inputs)
    client = serve(route_of(make_loaded(TableEngine(), manifest=made)))
    reply = client.request("POST", REGRESS, {"examples": [{"x": 1, **GOOD}]})
    assert (reply.status, rule in reply.json["error"]) == (400, True), reply.body


def test_unknown_models_and_versions_are_not_found(regressor: AsgiClient) -> None:
    for path in (
        "/v1/models/nobody:regress",
        "/v1/models/double/versions/9:regress",
        "/v1/models/double/labels/z:regress",
    ):
        assert regressor.request("POST", path, {"examples": [GOOD]}).status == 404
    assert regressor.request("POST", "/v1/models/double/versions/1:regress", {"examples": [GOOD]}).status == 200
