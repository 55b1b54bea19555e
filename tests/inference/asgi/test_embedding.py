"""What a model computes for monitoring alone is recorded, and is in no answer and no description of the model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aiplatform.artifacts import Manifest
from aiplatform.tensors import Signature
from inference.engines import Arrays
from tests.inference.serving_fakes import (
    AsgiClient,
    FakeEngine,
    ListRecorder,
    Reply,
    make_loaded,
    make_manifest,
    route_of,
    spec,
)

SIZE = "Inference-Header-Content-Length"
CLASSES = Signature(inputs=(spec("x"),), outputs=(spec("y", shape=(-1, 2)),))
PLAIN = replace(make_manifest(CLASSES), task="tabular_classification", labels=("a", "b"))
MONITORED = replace(PLAIN, embedding=spec("embedding", shape=(-1, 3)))
JSON_BODY = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
BINARY_HEAD = json.dumps(
    {
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}],
        "parameters": {"binary_data_output": True},
    }
).encode()
BINARY_BODY = BINARY_HEAD + np.array([[1, 2]], np.float32).tobytes()
EXAMPLES = {"examples": [{"x": [1, 2]}]}
QUESTIONS: list[tuple[str, str, Any, dict[str, str]]] = [
    ("POST", "/v1/models/double:predict", {"instances": [[1, 2], [3, 4]]}, {}),
    ("POST", "/v1/models/double:predict", {"inputs": {"x": [[1, 2]]}}, {}),
    ("POST", "/v1/models/double:classify", EXAMPLES, {}),
    ("POST", "/v2/models/double/infer", JSON_BODY, {}),
    ("POST", "/v2/models/double/infer", {**JSON_BODY, "outputs": [{"name": "y"}]}, {}),
    ("POST", "/v2/models/double/infer", BINARY_BODY, {SIZE: str(len(BINARY_HEAD))}),
    ("GET", "/v1/models/double/metadata", b"", {}),
    ("GET", "/v2/models/double", b"", {}),
    ("GET", "/v2/models/double/config", b"", {}),
]


class EmbeddingEngine(FakeEngine):
    """Doubles x, and embeds it in three dimensions, of which the first numbers the rows."""

    def run(self, inputs: Arrays) -> Arrays:
        x = inputs["x"]
        return {**super().run(inputs), "embedding": np.concatenate([x, x[:, :1] * 10], axis=1)}


@pytest.fixture(autouse=True)
def pinned_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are chance; pinned, answers of two models can be compared byte by byte."""
    monkeypatch.setattr("inference.attempts.new_prediction_id", lambda _: f"{next(ids):032x}")
    ids: Iterator[int] = itertools.cycle([7])


def serving(serve: Callable[..., AsgiClient], manifest: Manifest, engine: FakeEngine) -> AsgiClient:
    return serve(route_of(make_loaded(engine, manifest=manifest)))


@pytest.mark.interpreted
@pytest.mark.parametrize(("method", "path", "body", "headers"), QUESTIONS)
def test_an_answer_is_the_same_to_the_byte_with_and_without_an_embedding(
    serve: Callable[..., AsgiClient], method: str, path: str, body: Any, headers: dict[str, str]
) -> None:
    with_it, without = (
        serving(serve, manifest, engine).request(method, path, body, headers={"X-Request-Id": "r", **headers})
        for manifest, engine in ((MONITORED, EmbeddingEngine()), (PLAIN, FakeEngine()))
    )
    assert without.status == 200, without.body
    assert with_it == without
    assert b"embedding" not in with_it.body


def test_the_embedding_cannot_be_asked_for(serve: Callable[..., AsgiClient]) -> None:
    client = serving(serve, MONITORED, EmbeddingEngine())
    body = {**JSON_BODY, "outputs": [{"name": "embedding"}]}
    reply: Reply = client.request("POST", "/v2/models/double/infer", body)
    assert (reply.status, "the outputs are: y" in reply.json["error"]) == (400, True), reply.json


def test_each_row_is_recorded_with_its_own_embedding(serve: Callable[..., AsgiClient], recorder: ListRecorder) -> None:
    client = serving(serve, MONITORED, EmbeddingEngine())
    for values in ([[1, 2], [3, 4]], [[5, 6]]):
        assert client.request("POST", "/v1/models/double:predict", {"instances": values}).status == 200
    said = [(event.outputs or {}).keys() for event in recorder.events]
    assert said == [{"y"}, {"y"}]
    embeddings = [event.embedding.tolist() for event in recorder.events if event.embedding is not None]
    assert embeddings == [[[1, 2, 10], [3, 4, 30]], [[5, 6, 50]]]


def test_a_model_without_an_embedding_records_none(serve: Callable[..., AsgiClient], recorder: ListRecorder) -> None:
    serving(serve, PLAIN, FakeEngine()).request("POST", "/v1/models/double:predict", {"instances": [[1, 2]]})
    assert recorder.events[0].embedding is None
