"""A process that is behind says so at once, and no longer than it is."""

from __future__ import annotations

import asyncio
import time

import pytest

from aiplatform.errors import QueueFullError
from inference.scheduler.overload import BEAT_S, OverloadGuard
from tests.inference.serving_fakes import CountingMetrics, FakeEngine, ListRecorder, make_loaded, make_runtime, route_of
from tests.inference.serving_fakes import rows as some_rows


def is_refused(guard: OverloadGuard) -> bool:
    try:
        guard.refuse_if_behind(time.monotonic())
    except QueueFullError as error:
        assert (error.http_status, error.details["setting"]) == (503, "MAX_LOOP_LAG_MS")
        return True
    return False


def test_a_loop_that_was_held_up_is_behind_until_it_has_caught_up() -> None:
    async def scenario() -> list[bool]:
        guard = OverloadGuard(max_lag_s=0.5)  # longer than a busy machine holds up a loop
        guard.start()
        await asyncio.sleep(0)
        said = [is_refused(guard)]
        time.sleep(BEAT_S + 0.55)  # as many requests would that come at once
        said.append(is_refused(guard))
        await asyncio.sleep(0.001)
        said.append(is_refused(guard))
        guard.stop()
        time.sleep(BEAT_S + 0.55)
        said.append(is_refused(guard))
        return said

    assert asyncio.run(scenario()) == [False, True, False, False]


def test_without_a_bound_nothing_is_refused() -> None:
    async def scenario() -> None:
        guard = OverloadGuard(max_lag_s=0.0)
        guard.start()
        time.sleep(BEAT_S + 0.05)
        assert not is_refused(guard)

    asyncio.run(scenario())


def test_a_service_that_is_behind_reads_nothing_and_counts_the_refusal() -> None:
    serving = make_runtime(route_of(make_loaded(FakeEngine())))
    metrics, recorder = CountingMetrics(), ListRecorder()
    serving.connect(recorder=recorder, metrics=metrics)
    guard = serving.service.guard = OverloadGuard(max_lag_s=0.01)

    def read(manifest: object) -> dict[str, object]:
        raise AssertionError("the body was read")

    async def scenario() -> None:
        guard.start()
        time.sleep(BEAT_S + 0.05)
        with pytest.raises(QueueFullError, match="MAX_LOOP_LAG_MS"):
            serving.service.start("double", inputs=read, take=lambda answer: None)  # type: ignore[arg-type]
        await asyncio.sleep(0.001)
        answer = await serving.service.predict("double", inputs=some_rows(1))
        assert answer.outputs["y"].tolist() == [[2, 2]]
        guard.stop()

    asyncio.run(scenario())
    serving.close()
    assert [status for _, _, status in metrics.predictions] == [503, 200]
