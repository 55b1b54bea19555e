"""The queue before an engine: batches, bounds, deadlines, and neighbours that do no harm."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import (
    DeadlineExceededError,
    InvalidInputError,
    PayloadTooLargeError,
    PlatformError,
    QueueFullError,
    UnavailableError,
)
from aiplatform.tensors import Signature
from inference.scheduler import BatchQueue
from tests.inference.serving_fakes import POISON, FakeEngine, make_queue, rows, spec, wait_for


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def in_loop(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


async def fill(queue: BatchQueue, engine: FakeEngine, *values: float) -> list[asyncio.Task[Any]]:
    """Let the engine start on a first request, then queue one request for each value."""
    tasks = [asyncio.ensure_future(queue.run(rows(0), deadline=soon()))]
    await asyncio.to_thread(engine.began.wait, 10)
    for value in values:
        tasks.append(asyncio.ensure_future(queue.run(rows(value), deadline=soon())))
    await asyncio.sleep(0)
    return tasks


def test_a_request_gets_its_own_rows() -> None:
    engine = FakeEngine()
    queue = make_queue(engine)
    assert queue.run_blocking(rows(1, 2), deadline=soon())["y"].tolist() == [[2, 2], [4, 4]]
    queue.close()


def test_what_queued_while_the_engine_was_busy_is_the_next_batch() -> None:
    async def main() -> None:
        engine = FakeEngine(is_open=False)
        queue = make_queue(engine)
        tasks = await fill(queue, engine, *range(1, 6))
        engine.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [float(answer["y"][0, 0]) for answer in answers] == [0, 2, 4, 6, 8, 10]
        assert engine.batches == [1, 5]
        queue.close()

    in_loop(main())


def test_a_batch_never_exceeds_its_rows() -> None:
    async def main() -> None:
        engine = FakeEngine(is_open=False)
        queue = make_queue(engine, max_batch_rows=4)
        tasks = await fill(queue, engine, *range(10))
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert engine.batches == [1, 4, 4, 2]
        queue.close()

    in_loop(main())


def test_a_request_larger_than_a_batch_is_split_and_joined_in_order() -> None:
    engine = FakeEngine()
    queue = make_queue(engine, max_batch_rows=8)
    answer = queue.run_blocking(rows(*range(21)), deadline=soon())
    assert answer["y"][:, 0].tolist() == [2 * i for i in range(21)]
    assert engine.batches == [8, 8, 5]
    queue.close()


def test_requests_of_another_shape_form_their_own_batch() -> None:
    wide = Signature(inputs=(spec("x", shape=(-1, -1)),), outputs=(spec("y", shape=(-1, -1)),))

    async def main() -> None:
        engine = FakeEngine(is_open=False)
        queue = make_queue(engine, signature=wide)
        tasks = await fill(queue, engine)
        for width in (2, 3, 2, 3, 2):
            inputs = {"x": np.full((1, width), width, dtype=np.float32)}
            tasks.append(asyncio.ensure_future(queue.run(inputs, deadline=soon())))
        await asyncio.sleep(0)
        engine.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [answer["y"].shape for answer in answers[1:]] == [(1, 2), (1, 3), (1, 2), (1, 3), (1, 2)]
        assert engine.batches == [1, 3, 2]
        queue.close()

    in_loop(main())


def test_a_model_with_a_fixed_batch_gets_one_request_at_a_time() -> None:
    fixed = Signature(inputs=(spec("x", shape=(3, 2)),), outputs=(spec("y", shape=(3, 2)),))
    engine = FakeEngine()
    queue = make_queue(engine, signature=fixed, max_batch_rows=1)
    assert len(queue.run_blocking(rows(1, 2, 3), deadline=soon())["y"]) == 3
    assert engine.batches == [3]
    queue.close()


def test_a_poisoned_request_does_not_fail_its_neighbours() -> None:
    async def main() -> None:
        engine = FakeEngine(is_open=False)
        queue = make_queue(engine)
        tasks = await fill(queue, engine, 1, POISON, 3)
        engine.gate.set()
        await asyncio.wait(tasks)
        _first, one, poison, three = tasks
        assert one.result()["y"][0, 0] == 2
        assert three.result()["y"][0, 0] == 6
        poisoned = poison.exception()
        assert isinstance(poisoned, PlatformError)
        assert poisoned.http_status == 500
        assert poisoned.message == "the engine failed: RuntimeError: poison"
        queue.close()

    in_loop(main())


def test_an_engine_that_answers_the_wrong_number_of_rows_is_found_out() -> None:
    class Short(FakeEngine):
        def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
            return {"y": super().run(inputs)["y"][:1]}

    queue = make_queue(Short(), max_batch_rows=4)
    with pytest.raises(PlatformError, match="answered 4 rows with output 'y' of shape"):
        queue.run_blocking(rows(*range(9)), deadline=soon())
    queue.close()


def test_a_full_queue_refuses_and_names_its_limit() -> None:
    async def main() -> None:
        engine = FakeEngine(is_open=False)
        queue = make_queue(engine, max_queue_rows=3)
        tasks = await fill(queue, engine, 1, 2, 3)
        with pytest.raises(QueueFullError, match="MAX_QUEUE_ROWS") as caught:
            await queue.run(rows(4), deadline=soon())
        assert caught.value.details["value"] == 3
        assert caught.value.details["setting"] == "MAX_QUEUE_ROWS"
        assert caught.value.retry_after_s is not None
        engine.gate.set()
        await asyncio.gather(*tasks)
        queue.close()

    in_loop(main())


def test_a_request_larger_than_the_queue_can_never_be_taken() -> None:
    queue = make_queue(FakeEngine(), max_queue_rows=3)
    with pytest.raises(PayloadTooLargeError, match="4 rows"):
        queue.run_blocking(rows(1, 2, 3, 4), deadline=soon())
    queue.close()


def test_a_request_without_rows_is_refused() -> None:
    queue = make_queue(FakeEngine())
    with pytest.raises(InvalidInputError, match="no rows"):
        queue.run_blocking({"x": np.zeros((0, 2), dtype=np.float32)}, deadline=soon())
    queue.close()


def test_inputs_of_different_lengths_are_refused() -> None:
    queue = make_queue(FakeEngine())
    with pytest.raises(InvalidInputError, match="same number of rows"):
        queue.run_blocking({**rows(1, 2), "z": np.zeros((1, 2), dtype=np.float32)}, deadline=soon())
    queue.close()


def test_expired_work_is_dropped_before_it_runs() -> None:
    async def main() -> None:
        engine = FakeEngine(is_open=False)
        queue = make_queue(engine)
        tasks = await fill(queue, engine)
        with pytest.raises(DeadlineExceededError, match="no answer within 20 ms") as caught:
            await queue.run(rows(5), deadline=soon(0.02))
        assert caught.value.details["setting"] == "PREDICT_DEADLINE_S"
        engine.gate.set()
        await asyncio.gather(*tasks)
        queue.run_blocking(rows(7), deadline=soon())
        assert engine.batches == [1, 1]
        queue.close()

    in_loop(main())


def test_a_blocking_caller_gets_its_deadline_too() -> None:
    engine = FakeEngine(is_open=False)
    queue = make_queue(engine)
    with pytest.raises(DeadlineExceededError):
        queue.run_blocking(rows(5), deadline=soon(0.02))
    engine.gate.set()
    queue.close()


def test_a_cancelled_caller_leaves_the_queue_and_makes_room() -> None:
    async def main() -> None:
        engine = FakeEngine(is_open=False)
        queue = make_queue(engine, max_queue_rows=1)
        tasks = await fill(queue, engine, 1)
        tasks[1].cancel()
        await asyncio.sleep(0)
        tasks.append(asyncio.ensure_future(queue.run(rows(2), deadline=soon())))
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert tasks[1].cancelled()
        assert tasks[2].result()["y"][0, 0] == 4
        assert engine.batches == [1, 1]
        queue.close()

    in_loop(main())


def test_a_batch_waits_for_more_rows_only_if_told_to() -> None:
    async def main() -> None:
        engine = FakeEngine()
        queue = make_queue(engine, max_batch_rows=3, max_queue_delay_ms=60_000)
        started = time.monotonic()
        await asyncio.gather(*(queue.run(rows(i), deadline=soon()) for i in range(3)))
        assert engine.batches == [3]  # a full batch does not wait
        assert time.monotonic() - started < 30
        queue.close()

    in_loop(main())


def test_a_batch_that_stays_short_runs_after_the_delay() -> None:
    engine = FakeEngine()
    queue = make_queue(engine, max_batch_rows=64, max_queue_delay_ms=10)
    queue.run_blocking(rows(1), deadline=soon())
    assert engine.batches == [1]
    queue.close()


def test_closing_fails_what_waits_and_takes_no_more() -> None:
    async def main() -> None:
        engine = FakeEngine(is_open=False)
        queue = make_queue(engine)
        tasks = await fill(queue, engine, 1)
        closing = asyncio.create_task(asyncio.to_thread(queue.close))
        with pytest.raises(UnavailableError):
            await tasks[1]
        engine.gate.set()
        await closing
        assert (await tasks[0])["y"][0, 0] == 0  # what runs already is answered
        with pytest.raises(UnavailableError):
            await queue.run(rows(1), deadline=soon())

    in_loop(main())


def test_a_loop_that_has_ended_does_not_stop_the_engine() -> None:
    engine = FakeEngine(is_open=False)
    queue = make_queue(engine)

    async def leave() -> None:
        task = asyncio.ensure_future(queue.run(rows(1), deadline=soon()))
        await asyncio.to_thread(engine.began.wait, 10)
        task.cancel()

    in_loop(leave())
    engine.gate.set()
    assert queue.run_blocking(rows(3), deadline=soon())["y"][0, 0] == 6
    queue.close()


def test_many_threads_and_a_loop_share_one_queue() -> None:
    engine = FakeEngine(delay_s=0.001)
    queue = make_queue(engine, max_batch_rows=16)
    wrong: list[float] = []

    def ask(value: float) -> None:
        for _ in range(20):
            if queue.run_blocking(rows(value), deadline=soon())["y"][0, 0] != 2 * value:
                wrong.append(value)

    threads = [threading.Thread(target=ask, args=(float(i),)) for i in range(6)]
    for thread in threads:
        thread.start()

    async def main() -> None:
        answers = await asyncio.gather(*(queue.run(rows(i), deadline=soon()) for i in range(100)))
        assert [float(a["y"][0, 0]) for a in answers] == [2.0 * i for i in range(100)]

    in_loop(main())
    for thread in threads:
        thread.join()
    assert not wrong
    wait_for(lambda: queue.depth == 0)
    queue.close()
