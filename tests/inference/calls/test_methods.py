"""The gRPC methods on a served model, through a real server and a real client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from aiplatform.contracts.inference import ReplicaState
from aiplatform.rpc.calls import HEALTH_METHOD, MODEL_SERVICE, PREDICTION_SERVICE, V2_SERVICE, Call
from inference.grpc_server.application import CallMethods
from inference.protocols.protos import open_inference_pb2 as v2
from inference.protocols.protos import tf_serving_pb2 as tfs
from inference.routing_table import PendingVersion
from tests.inference.calls.support import INFER, Caller, infer_request, inferred, run
from tests.inference.serving_fakes import (
    POISON,
    CountingMetrics,
    FakeEngine,
    ListRecorder,
    make_loaded,
    make_runtime,
    route_of,
    wait_for,
)

PREDICT = f"{PREDICTION_SERVICE}Predict"


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def metrics() -> CountingMetrics:
    return CountingMetrics()


@pytest.fixture
def methods(engine: FakeEngine, metrics: CountingMetrics) -> Iterator[CallMethods]:
    loaded = make_loaded(engine, max_batch_rows=2, max_queue_rows=4)
    pending = {2: PendingVersion(state=ReplicaState.LOADING)}
    serving = make_runtime(route_of(loaded, pending=pending, labels={"stable": 1}))
    serving.connect(recorder=ListRecorder(), metrics=metrics)
    yield CallMethods(serving)
    engine.gate.set()
    serving.close()


def tf_request(**spec: Any) -> bytes:
    message = tfs.PredictRequest()
    message.model_spec.name = "double"
    for name, value in spec.items():
        if name == "version":
            message.model_spec.version.value = value
        else:
            setattr(message.model_spec, name, value)
    x = message.inputs["x"]
    x.dtype = tfs.DT_FLOAT
    for size in (1, 2):
        x.tensor_shape.dim.add(size=size)
    x.float_val.extend([1.5, 2])
    return message.SerializeToString()


def test_a_raw_v2_request_is_answered_raw_with_ids_and_version(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        message = inferred(await caller.ask(INFER, infer_request(1, 2, request_id="r1"), x_request_id="req-1"))
        y = np.frombuffer(message.raw_output_contents[0], np.float32).reshape(list(message.outputs[0].shape))
        assert y.tolist() == [[2, 2], [4, 4]]
        assert (message.model_name, message.model_version, message.id) == ("double", "1", "r1")
        prediction_id = message.parameters["prediction_id"].string_param
        assert len(prediction_id) == 32
        said = {k: v for k, v in caller.trailers.items() if k.startswith("x-")}
        assert said == {"x-request-id": "req-1", "x-model-version": "1", "x-prediction-id": prediction_id}
        unnamed = inferred(await caller.ask(INFER, infer_request(1)))
        assert unnamed.id == unnamed.parameters["prediction_id"].string_param

    run(script, methods)


def test_a_typed_v2_request_is_answered_typed(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        request = v2.ModelInferRequest(model_name="double")
        tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        tensor.contents.fp32_contents.extend([1, 2])
        message = inferred(await caller.ask(INFER, request.SerializeToString()))
        assert list(message.outputs[0].contents.fp32_contents) == [2, 4]
        assert not message.raw_output_contents

    run(script, methods)


def test_tf_serving_predicts_by_version_and_by_label(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        for spec in ({}, {"version": 1}, {"version_label": "stable"}, {"signature_name": "serving_default"}):
            message = tfs.PredictResponse.FromString(await caller.ask(PREDICT, tf_request(**spec)))
            assert list(message.outputs["y"].float_val) == [3, 4]
            spec_back = message.model_spec
            assert (spec_back.name, spec_back.version.value, spec_back.signature_name) == (
                "double", 1, "serving_default",
            )  # fmt: skip
            assert caller.trailers["x-model-version"] == "1"

    run(script, methods)


def test_health_and_metadata_of_both_protocols(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        assert v2.ServerLiveResponse.FromString(await caller.ask(f"{V2_SERVICE}ServerLive")).live
        assert v2.ServerReadyResponse.FromString(await caller.ask(f"{V2_SERVICE}ServerReady")).ready
        assert await caller.ask(HEALTH_METHOD) == b"\x08\x01"
        assert v2.ServerMetadataResponse.FromString(await caller.ask(f"{V2_SERVICE}ServerMetadata")).name
        named = v2.ModelReadyRequest(name="double").SerializeToString()
        assert v2.ModelReadyResponse.FromString(await caller.ask(f"{V2_SERVICE}ModelReady", named)).ready
        loading = v2.ModelReadyRequest(name="double", version="2").SerializeToString()
        assert not v2.ModelReadyResponse.FromString(await caller.ask(f"{V2_SERVICE}ModelReady", loading)).ready
        about = v2.ModelMetadataResponse.FromString(await caller.ask(f"{V2_SERVICE}ModelMetadata", named))
        assert [(t.name, t.datatype, list(t.shape)) for t in about.inputs] == [("x", "FP32", [-1, 2])]
        assert list(about.versions) == ["1"]

    run(script, methods)


def test_tf_servings_metadata_and_status(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        ask = tfs.GetModelMetadataRequest(metadata_field=["signature_def"])
        ask.model_spec.name = "double"
        method = f"{PREDICTION_SERVICE}GetModelMetadata"
        about = tfs.GetModelMetadataResponse.FromString(await caller.ask(method, ask.SerializeToString()))
        packed = about.metadata["signature_def"]
        assert packed.type_url.endswith("/tensorflow.serving.SignatureDefMap")
        definition = tfs.SignatureDefMap.FromString(packed.value).signature_def["serving_default"]
        info = definition.inputs["x"]
        assert (info.dtype, [dim.size for dim in info.tensor_shape.dim]) == (tfs.DT_FLOAT, [-1, 2])
        ask.metadata_field[:] = ["other"]
        assert (await caller.refused(method, ask.SerializeToString()))[0] == "INVALID_ARGUMENT"
        status = tfs.GetModelStatusRequest()
        status.model_spec.name = "double"
        answer = await caller.ask(f"{MODEL_SERVICE}GetModelStatus", status.SerializeToString())
        found = tfs.GetModelStatusResponse.FromString(answer).model_version_status
        assert [(s.version, s.state) for s in found] == [(2, 20), (1, 30)]

    run(script, methods)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (infer_request(1, model="none"), "NOT_FOUND", "'none'"),
        (infer_request(1, model="\u00e9" * 100_000), "NOT_FOUND", "\u00e9\u00e9"),
        (infer_request(1, version="9"), "NOT_FOUND", "served versions: 1"),
        (infer_request(1, version="2"), "UNAVAILABLE", "is loading"),
        (infer_request(1, version="x"), "INVALID_ARGUMENT", "whole number"),
        (b"\xff\xff\xff", "INVALID_ARGUMENT", "ModelInferRequest"),
        (infer_request(POISON), "INTERNAL", "poison"),
        (infer_request(1, 2, 3, 4, 5), "RESOURCE_EXHAUSTED", "MAX_QUEUE_ROWS"),
    ],
)
def test_errors_have_the_status_and_the_message_of_rest(
    methods: CallMethods, body: bytes, status: str, says: str
) -> None:
    async def script(caller: Caller) -> Any:
        return await caller.refused(INFER, body)

    found, message, trailers = run(script, methods)
    assert (found, says in message) == (status, True), message
    assert trailers["x-error-code"]
    assert "x-request-id" in trailers
    assert ("retry-after" in trailers) == (status == "UNAVAILABLE")


def test_what_is_not_served_is_unimplemented(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        for method in (f"{V2_SERVICE}TraceSetting", "/other.Service/Method", f"{PREDICTION_SERVICE}MultiInference"):
            assert (await caller.refused(method))[0] == "UNIMPLEMENTED"
        start: Any = caller.channel.stream_stream(f"{V2_SERVICE}ModelStreamInfer")
        stream = start()
        with pytest.raises(Exception, match="ModelStreamInfer is not served"):
            await stream.read()

    run(script, methods)


def test_a_message_past_the_limit_is_refused_by_its_size(methods: CallMethods) -> None:
    async def script(caller: Caller) -> Any:
        return await caller.refused(INFER, b"x" * 3000)

    assert run(script, methods, max_message_bytes=2000)[0] == "RESOURCE_EXHAUSTED"


def test_the_calls_deadline_ends_it_and_its_rows_never_run(methods: CallMethods, engine: FakeEngine) -> None:
    engine.gate.clear()

    async def script(caller: Caller) -> None:
        first = asyncio.create_task(caller.ask(INFER, infer_request(1)))
        await asyncio.to_thread(engine.began.wait, 10)
        status, _, _ = await caller.refused(INFER, infer_request(7), timeout_s=0.2)
        assert status == "DEADLINE_EXCEEDED"
        engine.gate.set()
        await first
        await caller.ask(INFER, infer_request(3))

    run(script, methods)
    assert engine.batches == [1, 1]


def test_the_servers_own_deadline_is_a_status_too(engine: FakeEngine) -> None:
    engine.gate.clear()
    serving = make_runtime(route_of(make_loaded(engine)), deadline_s=0.1)

    async def script(caller: Caller) -> Any:
        return await caller.refused(INFER, infer_request(1), timeout_s=None)

    status, message, trailers = run(script, CallMethods(serving))
    engine.gate.set()
    serving.close()
    assert (status, trailers["x-error-code"]) == ("DEADLINE_EXCEEDED", "deadline_exceeded")
    assert "PREDICT_DEADLINE_S" in message


def test_a_call_that_is_cancelled_leaves_the_queue(
    methods: CallMethods, engine: FakeEngine, metrics: CountingMetrics
) -> None:
    engine.gate.clear()

    async def script(caller: Caller) -> None:
        first = asyncio.create_task(caller.ask(INFER, infer_request(1)))
        await asyncio.to_thread(engine.began.wait, 10)
        second = caller.unary(INFER)(infer_request(7))
        await asyncio.sleep(0.2)
        second.cancel()
        gone = ("double", 1, 499)
        await asyncio.to_thread(wait_for, lambda: gone in metrics.predictions)
        engine.gate.set()
        await first

    run(script, methods)
    assert engine.batches == [1]


def test_a_full_queue_is_resource_exhausted_with_a_retry_hint(methods: CallMethods, engine: FakeEngine) -> None:
    engine.gate.clear()

    async def script(caller: Caller) -> Any:
        first = asyncio.create_task(caller.ask(INFER, infer_request(1)))
        await asyncio.to_thread(engine.began.wait, 10)
        waiting = [asyncio.create_task(caller.ask(INFER, infer_request(1, 2))) for _ in range(2)]
        await asyncio.sleep(0.2)
        refused = await caller.refused(INFER, infer_request(1))
        engine.gate.set()
        await asyncio.gather(first, *waiting)
        return refused

    status, message, trailers = run(script, methods)
    assert (status, trailers["x-error-code"]) == ("RESOURCE_EXHAUSTED", "queue_full")
    assert "MAX_QUEUE_ROWS" in message
    assert int(trailers["retry-after"]) * 1000 == int(trailers["grpc-retry-pushback-ms"]) > 0


def test_stopping_lets_calls_under_way_finish(methods: CallMethods, engine: FakeEngine) -> None:
    engine.gate.clear()

    async def go() -> bytes:
        from tests.inference.calls.support import served

        async with served(methods) as caller:
            call = asyncio.create_task(caller.ask(INFER, infer_request(1)))
            await asyncio.to_thread(engine.began.wait, 10)
            threading.Timer(0.2, engine.gate.set).start()
            return await call

    assert inferred(asyncio.run(go())).outputs


def test_a_failed_call_names_the_version_that_failed(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        _, _, trailers = await caller.refused(INFER, infer_request(POISON, 2))
        assert trailers["x-model-version"] == "1"
        _, _, trailers = await caller.refused(INFER)
        assert "x-model-version" not in trailers, "no version was chosen"

    run(script, methods)


def test_a_bug_is_internal_and_tells_its_kind_alone() -> None:
    def broken(call: Call) -> None:
        raise ValueError("a secret detail")

    async def script(caller: Caller) -> Any:
        return await caller.refused(INFER)

    assert run(script, broken)[:2] == ("INTERNAL", "the server failed: ValueError")


def test_model_configuration_statistics_and_index_say_what_rest_says(methods: CallMethods) -> None:
    async def script(caller: Caller) -> None:
        named = v2.ModelConfigRequest(name="double").SerializeToString()
        config = v2.ModelConfigResponse.FromString(await caller.ask(f"{V2_SERVICE}ModelConfig", named)).config
        assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [("x", v2.TYPE_FP32, [2])]
        assert (config.name, config.max_batch_size, list(config.version_policy.specific.versions)) == (
            "double",
            64,
            [1],
        )
        await caller.ask(INFER, infer_request(1, 2))
        await caller.refused(INFER, infer_request(POISON))
        for body in (b"", v2.ModelStatisticsRequest(name="double", version="1").SerializeToString()):
            answer = await caller.ask(f"{V2_SERVICE}ModelStatistics", body)
            [stats] = v2.ModelStatisticsResponse.FromString(answer).model_stats
            assert (stats.name, stats.version, stats.inference_stats.success.count) == ("double", "1", 1)
            assert (stats.inference_stats.fail.count, stats.inference_stats.success.ns > 0) == (1, True)
        index = v2.RepositoryIndexResponse.FromString(await caller.ask(f"{V2_SERVICE}RepositoryIndex"))
        assert [(m.version, m.state) for m in index.models] == [("1", "READY"), ("2", "LOADING")]
        ready = v2.RepositoryIndexRequest(ready=True).SerializeToString()
        index = v2.RepositoryIndexResponse.FromString(await caller.ask(f"{V2_SERVICE}RepositoryIndex", ready))
        assert [m.version for m in index.models] == ["1"]
        for name in ("ModelConfig", "ModelStatistics"):
            unknown = v2.ModelConfigRequest(name="none").SerializeToString()
            assert (await caller.refused(f"{V2_SERVICE}{name}", unknown))[0] == "NOT_FOUND"

    run(script, methods)


def parameters(**given: int) -> bytes:
    message = v2.ModelInferRequest.FromString(infer_request(1))
    for name, value in given.items():
        message.parameters[name].int64_param = value
    return message.SerializeToString()


def test_a_timeout_among_the_parameters_is_a_deadline(methods: CallMethods, engine: FakeEngine) -> None:
    engine.gate.clear()

    async def script(caller: Caller) -> Any:
        first = asyncio.create_task(caller.ask(INFER, infer_request(1)))
        await asyncio.to_thread(engine.began.wait, 10)
        refused = await caller.refused(INFER, parameters(timeout=50_000), timeout_s=None)
        engine.gate.set()
        await first
        return refused

    status, message, _ = run(script, methods)
    assert (status, "50 ms" in message) == ("DEADLINE_EXCEEDED", True)
    assert engine.batches == [1]


def test_a_priority_among_the_parameters_goes_before_what_waits(engine: FakeEngine) -> None:
    engine.gate.clear()
    serving = make_runtime(route_of(make_loaded(engine, max_batch_rows=1)))
    queue = serving.table.routes["double"].default.queue
    order: list[int] = []

    async def ask(caller: Caller, priority: int) -> None:
        await caller.ask(INFER, parameters(priority=priority))
        order.append(priority)

    async def script(caller: Caller) -> None:
        first = asyncio.create_task(caller.ask(INFER, infer_request(1)))
        await asyncio.to_thread(engine.began.wait, 10)
        tasks = []
        for priority in (3, 0, 1):
            tasks.append(asyncio.create_task(ask(caller, priority)))
            while queue.depth < len(tasks):
                await asyncio.sleep(0.002)
        engine.gate.set()
        await asyncio.gather(first, *tasks)

    run(script, CallMethods(serving))
    serving.close()
    assert order == [1, 0, 3]


@pytest.mark.parametrize("given", [{"priority": 4}, {"priority": -1}, {"timeout": -1}])
def test_a_priority_or_timeout_that_is_none_is_refused(methods: CallMethods, given: dict[str, int]) -> None:
    async def script(caller: Caller) -> Any:
        return await caller.refused(INFER, parameters(**given))

    status, message, _ = run(script, methods)
    assert (status, next(iter(given)) in message) == ("INVALID_ARGUMENT", True)


def test_a_call_says_whom_it_is_about_and_which_trace_it_belongs_to() -> None:
    recorder = ListRecorder()
    serving = make_runtime(route_of(make_loaded(FakeEngine())))
    serving.connect(recorder=recorder, metrics=CountingMetrics())
    named = v2.ModelInferRequest.FromString(infer_request(1.0))
    named.parameters["subject_id"].string_param = "bob"

    async def script(caller: Caller) -> None:
        await caller.ask(INFER, infer_request(1.0), x_subject_id="ada", traceparent="00-1-2-3")
        await caller.ask(INFER, named.SerializeToString())
        await caller.ask(PREDICT, tf_request(), x_subject_id="eve")

    run(script, CallMethods(serving))
    serving.close()
    assert [(e.traceparent, e.subject) for e in recorder.events] == [("00-1-2-3", "ada"), ("", "bob"), ("", "eve")]
