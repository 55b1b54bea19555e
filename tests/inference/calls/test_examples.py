"""TF Serving's Classify and Regress over gRPC, as a codec and on served models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidInputError
from aiplatform.rpc.calls import PREDICTION_SERVICE
from aiplatform.tensors import DType, Signature
from inference.grpc_server.application import CallMethods
from inference.protocols.grpc_tf_examples import decode_examples
from inference.protocols.paths import Operation
from inference.protocols.protos import tf_serving_pb2 as tfs
from tests.inference.calls.support import Caller, run
from tests.inference.serving_fakes import FakeEngine, make_loaded, make_manifest, make_runtime, route_of, spec

CLASSIFY, REGRESS = f"{PREDICTION_SERVICE}Classify", f"{PREDICTION_SERVICE}Regress"
LABELLED = replace(make_manifest(), task="tabular_classification", labels=("cat", "dog"))
ONE_NUMBER = make_manifest(Signature(inputs=(spec("x", shape=(-1, 1)),), outputs=(spec("y", shape=(-1, 1)),)))


def example(**lists: Any) -> tfs.Example:
    made = tfs.Example()
    for name, values in lists.items():
        feature = made.features.feature[name]
        if isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return made


def request(*examples: tfs.Example, context: tfs.Example | None = None) -> tfs.ClassificationRequest:
    message = tfs.ClassificationRequest()
    message.model_spec.name = "double"
    if context is None:
        message.input.example_list.examples.extend(examples)
    else:
        message.input.example_list_with_context.examples.extend(examples)
        message.input.example_list_with_context.context.CopyFrom(context)
    return message


@pytest.fixture(params=["classify", "regress"])
def methods(request: pytest.FixtureRequest) -> Iterator[CallMethods]:
    manifest = LABELLED if request.param == "classify" else ONE_NUMBER
    serving = make_runtime(route_of(make_loaded(FakeEngine(), manifest=manifest)))
    yield CallMethods(serving)
    serving.close()


@pytest.mark.parametrize("methods", ["classify"], indirect=True)
def test_classify_gives_each_examples_labels_with_their_scores(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        body = request(example(x=[1.0, 2.0]), example(x=[3.0, 4.0], other=[7])).SerializeToString()
        answer = tfs.ClassificationResponse.FromString(await caller.ask(CLASSIFY, body))
        found = [[(c.label, c.score) for c in row.classes] for row in answer.result.classifications]
        assert found == [[("cat", 2), ("dog", 4)], [("cat", 6), ("dog", 8)]]
        assert (answer.model_spec.name, answer.model_spec.version.value) == ("double", 1)
        assert caller.trailers["x-model-version"] == "1"
        status, message, _ = await caller.refused(REGRESS, body)
        assert (status, ":classify" in message) == ("INVALID_ARGUMENT", True)

    run(script, methods)


@pytest.mark.parametrize("methods", ["regress"], indirect=True)
def test_regress_gives_each_example_its_number(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        body = request(example(x=[1.5]), example(x=[-2.0])).SerializeToString()
        answer = tfs.RegressionResponse.FromString(await caller.ask(REGRESS, body))
        assert [r.value for r in answer.result.regressions] == [3, -4]
        assert (await caller.refused(CLASSIFY, body))[0] == "INVALID_ARGUMENT"
        assert (await caller.refused(REGRESS, b"\xff\xff"))[0] == "INVALID_ARGUMENT"

    run(script, methods)


def test_a_context_is_part_of_every_example() -> None:
    signature = Signature(
        inputs=(spec("a", DType.INT32, (-1, 1)), spec("b", DType.BYTES, (-1, 2))), outputs=(spec("y", shape=(-1, 2)),)
    )
    manifest = replace(make_manifest(signature), task="tabular_classification")
    message = request(example(a=[1]), example(a=[2]), context=example(b=[b"p", b"q"]))
    inputs = decode_examples(message, manifest, Operation.V1_CLASSIFY).inputs
    assert (inputs["a"].tolist(), inputs["a"].dtype) == ([[1], [2]], np.int32)
    assert inputs["b"].tolist() == [[b"p", b"q"]] * 2


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (request(), "at least one example"),
        (tfs.ClassificationRequest(), "at least one example"),
        (request(example(z=[1.0])), "example 0 lacks input 'x'"),
        (request(example(x=[1.0])), "needs 2 values, not 1"),
        (request(example(x=[1, 2])), "must be a float_list, not int64_list"),
        (request(tfs.Example(features=tfs.Features(feature={"x": tfs.Feature()}))), "not empty"),
        (request(example(x=[1.0, 2.0]), context=example(x=[1.0, 2.0])), "stands in 'context' and in example 0"),
    ],
)
def test_what_is_no_example_of_the_model_is_refused_with_the_rule(message: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        decode_examples(message, LABELLED, Operation.V1_CLASSIFY)


def test_an_integer_out_of_range_is_refused() -> None:
    signature = Signature(inputs=(spec("a", DType.INT8, (-1, 1)),), outputs=(spec("y", shape=(-1, 2)),))
    manifest = replace(make_manifest(signature), task="tabular_classification")
    with pytest.raises(InvalidInputError, match="out of range"):
        decode_examples(request(example(a=[300])), manifest, Operation.V1_CLASSIFY)
