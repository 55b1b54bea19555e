"""Requests that share an engine call are recorded with its arrays, and each with its own rows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aiplatform.artifacts import Padding
from inference.attempts import Answer
from inference.recording_api import PredictionEvent
from inference.serving import PredictService
from tests.inference.asgi.test_embedding import MONITORED, PLAIN, EmbeddingEngine
from tests.inference.serving_fakes import (
    CountingMetrics,
    ListRecorder,
    make_loaded,
    make_manifest,
    make_runtime,
    route_of,
    rows,
)

REQUESTS = [[9.0], [1.0], [2.0, 3.0, 4.0], [5.0, 6.0]]  # the first has the engine while the others come


def answered(manifest: Any, **limits: Any) -> tuple[list[Answer], list[PredictionEvent], EmbeddingEngine]:
    """Return answers and records of the requests, both in their order, and the engine."""
    engine = EmbeddingEngine(is_open=False)
    serving = make_runtime(route_of(make_loaded(engine, manifest=manifest, **limits)))
    recorder = ListRecorder()
    serving.connect(recorder=recorder, metrics=CountingMetrics())
    try:
        answers = asyncio.run(ask(serving.service, engine))
    finally:
        engine.gate.set()
        serving.close()
    by_id = {event.prediction_id: event for event in recorder.events}
    assert len(by_id) == len(recorder.events) == len(answers)
    return answers, [by_id[answer.prediction_id] for answer in answers], engine


async def ask(service: PredictService, engine: EmbeddingEngine) -> list[Answer]:
    loop = asyncio.get_running_loop()
    waiting = []
    for values in REQUESTS:
        taken = loop.create_future()
        service.start("double", inputs=rows(*values), take=taken.set_result)
        waiting.append(taken)
        assert await asyncio.to_thread(engine.began.wait, 10)
    engine.gate.set()
    return list(await asyncio.wait_for(asyncio.gather(*waiting), 20))


@pytest.mark.parametrize("manifest", [PLAIN, MONITORED], ids=["plain", "with an embedding"])
def test_each_request_is_recorded_with_its_own_rows_of_the_call(manifest: Any) -> None:
    answers, events, engine = answered(manifest)
    assert engine.batches == [1, 6]
    assert len({id(event.call) for event in events}) == 2, "one for each call of the engine"
    for values, answer, event in zip(REQUESTS, answers, events, strict=True):
        expected = rows(*values)["x"]
        assert event.inputs is not None and event.outputs is not None
        assert list(answer.outputs) == list(event.outputs) == (["y"] if manifest is MONITORED else ["y", "embedding"])
        assert event.rows == len(values)
        assert (event.inputs["x"] == expected).all() and (event.outputs["y"] == expected * 2).all()
        assert (answer.outputs["y"] == expected * 2).all()
        if manifest is MONITORED:
            assert event.embedding is not None
            assert (event.embedding == np.concatenate([expected, expected[:, :1] * 10], axis=1)).all()
        assert event.size_bytes >= 512 + event.inputs["x"].nbytes + event.outputs["y"].nbytes


def test_a_request_that_was_cut_is_recorded_whole() -> None:
    _, events, engine = answered(MONITORED, max_batch_rows=2)
    assert max(engine.batches) <= 2
    assert [event.inputs["x"][:, 0].tolist() for event in events if event.inputs] == REQUESTS
    assert [event.embedding[:, 2].tolist() for event in events if event.embedding is not None] == [
        [10 * value for value in values] for values in REQUESTS
    ]


def test_what_is_padded_for_the_engine_is_recorded_as_it_came() -> None:
    plain = make_manifest()
    padding = (Padding(input="x", axis=1, sizes=(4,), value=0.0, outputs=("y",)),)
    signature = replace(
        plain.signature,
        inputs=tuple(replace(one, shape=(-1, -1)) for one in plain.signature.inputs),
        outputs=tuple(replace(one, shape=(-1, -1)) for one in plain.signature.outputs),
    )
    _, events, engine = answered(replace(plain, signature=signature, padding=padding))
    assert engine.batches == [1, 6]
    for values, event in zip(REQUESTS, events, strict=True):
        assert event.inputs is not None and event.outputs is not None
        assert event.inputs["x"].tolist() == rows(*values)["x"].tolist()
        assert event.outputs["y"].shape == (len(values), 2)
