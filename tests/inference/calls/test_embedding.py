"""gRPC answers and descriptions do not contain what a model computes for monitoring alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from aiplatform.rpc.calls import PREDICTION_SERVICE, V2_SERVICE
from inference.engines import Arrays
from inference.grpc_server.application import CallMethods
from inference.protocols.protos import open_inference_pb2 as v2
from inference.protocols.protos import tf_serving_pb2 as tfs
from tests.inference.calls.support import INFER, Caller, infer_request, inferred, run
from tests.inference.serving_fakes import (
    FakeEngine,
    ListRecorder,
    make_loaded,
    make_manifest,
    make_runtime,
    route_of,
    spec,
)


class EmbeddingEngine(FakeEngine):
    def run(self, inputs: Arrays) -> Arrays:
        return {**super().run(inputs), "embedding": -inputs["x"]}


@pytest.fixture
def recorder() -> ListRecorder:
    return ListRecorder()


@pytest.fixture
def methods(recorder: ListRecorder) -> Iterator[CallMethods]:
    manifest = replace(make_manifest(), embedding=spec("embedding"))
    serving = make_runtime(route_of(make_loaded(EmbeddingEngine(), manifest=manifest)))
    serving.connect(recorder=recorder, metrics=serving.service.metrics)
    yield CallMethods(serving)
    serving.close()


def test_no_call_gives_the_embedding_away(methods: CallMethods, recorder: ListRecorder) -> None:
    predict = tfs.PredictRequest()
    predict.model_spec.name = "double"
    predict.inputs["x"].dtype = tfs.DT_FLOAT
    for size in (1, 2):
        predict.inputs["x"].tensor_shape.dim.add(size=size)
    predict.inputs["x"].float_val.extend([1.5, 2])
    metadata = v2.ModelMetadataRequest(name="double").SerializeToString()

    async def script(caller: Caller) -> None:
        raw = inferred(await caller.ask(INFER, infer_request(1, 2)))
        assert [output.name for output in raw.outputs] == ["y"]
        assert len(raw.raw_output_contents) == 1
        said = tfs.PredictResponse.FromString(
            await caller.ask(f"{PREDICTION_SERVICE}Predict", predict.SerializeToString())
        )
        assert list(said.outputs) == ["y"]
        described = v2.ModelMetadataResponse.FromString(await caller.ask(f"{V2_SERVICE}ModelMetadata", metadata))
        assert [output.name for output in described.outputs] == ["y"]

    run(script, methods)
    embeddings = [event.embedding.tolist() for event in recorder.events if event.embedding is not None]
    assert embeddings == [[[-1, -1], [-2, -2]], [[-1.5, -2]]]
