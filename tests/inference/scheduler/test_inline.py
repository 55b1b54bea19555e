"""Engine calls that are short run on the event loop, in batches, and leave it when they grow long."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from typing import Any

import pytest

from aiplatform.errors import DeadlineExceededError, PlatformError, QueueFullError, UnavailableError
from inference.engines import Arrays
from inference.recording_api import NoMetrics
from inference.scheduler import BatchLimits, BatchQueue
from inference.scheduler.run_delay import run_delay_s
from tests.inference.serving_fakes import DOUBLING, POISON, FakeEngine, rows


class ThreadNoting(FakeEngine):
    """Remembers which threads called it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.callers: set[str] = set()

    def run(self, inputs: Arrays) -> Arrays:
        self.callers.add(threading.current_thread().name)
        return super().run(inputs)


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def make_inline(engine: Any, *, call_ms: float = 0.1, inline_ms: float = 4.0, **limits: Any) -> BatchQueue:
    return BatchQueue(
        endpoint="double",
        version=1,
        engine=engine,
        signature=DOUBLING,
        limits=BatchLimits(inline_ms=inline_ms, **limits),
        metrics=NoMetrics(),
        call_ms={1: call_ms},
    )


def test_what_came_in_together_is_one_call_on_the_loops_own_thread() -> None:
    engine = ThreadNoting()
    queue = make_inline(engine)

    async def main() -> None:
        answers = await asyncio.gather(*(queue.run(rows(i), deadline=soon()) for i in range(5)))
        assert [float(answer["y"][0, 0]) for answer in answers] == [0, 2, 4, 6, 8]

    assert queue.is_inline
    asyncio.run(main())
    assert engine.batches == [5]
    assert engine.callers == {threading.current_thread().name}
    queue.close()


def test_an_engine_that_takes_long_or_was_not_timed_stays_off_the_loop() -> None:
    long = make_inline(FakeEngine(), call_ms=50)
    assert not long.is_inline
    never = make_inline(FakeEngine(), inline_ms=0)
    assert not never.is_inline
    for queue in (long, never):
        queue.close()


def test_the_loop_reads_between_the_batches_of_a_long_line() -> None:
    engine = FakeEngine()
    queue = make_inline(engine, max_batch_rows=4)
    turns: list[int] = []

    async def note_turns() -> None:
        while len(engine.batches) < 5:
            turns.append(len(engine.batches))
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(note_turns(), *(queue.run(rows(i), deadline=soon()) for i in range(20)))

    asyncio.run(main())
    assert engine.batches == [4] * 5
    assert {1, 2, 3, 4} <= set(turns), "other work had its turn after each batch"
    queue.close()


def test_a_call_takes_no_more_rows_than_the_loop_can_afford() -> None:
    engine = FakeEngine()
    queue = make_inline(engine, call_ms=1.0, inline_ms=4.0)

    async def main() -> None:
        await asyncio.gather(*(queue.run(rows(i), deadline=soon()) for i in range(9)))

    asyncio.run(main())
    assert engine.batches[0] == 4, "4 rows of 1 ms each"
    assert sum(engine.batches) == 9
    queue.close()


def test_an_engine_that_becomes_slow_leaves_the_loop() -> None:
    engine = ThreadNoting(delay_s=0.03)
    queue = make_inline(engine, inline_ms=1.0)

    async def main() -> None:
        for i in range(6):
            assert (await queue.run(rows(i), deadline=soon()))["y"][0, 0] == 2 * i

    asyncio.run(main())
    assert not queue.is_inline
    assert any(name.startswith("engine-double-1") for name in engine.callers)
    queue.close()


def test_an_engine_that_is_slow_because_others_have_the_processor_stays_on_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = FakeEngine(delay_s=0.03)
    delays = itertools.count()
    monkeypatch.setattr("inference.scheduler.queue.run_delay_s", lambda: 10.0 * next(delays))
    queue = make_inline(engine, inline_ms=1.0)

    async def main() -> None:
        for i in range(6):
            await queue.run(rows(i), deadline=soon())

    asyncio.run(main())
    assert queue.is_inline
    queue.close()


def test_the_kernel_says_how_long_a_thread_waited_for_the_processor() -> None:
    before = run_delay_s()
    time.sleep(0.001)
    assert run_delay_s() >= before >= 0


def test_threads_and_the_loop_never_call_the_engine_at_once() -> None:
    class Exclusive(FakeEngine):
        busy = threading.Lock()

        def run(self, inputs: Arrays) -> Arrays:
            assert self.busy.acquire(blocking=False), "two calls at once"
            try:
                return super().run(inputs)
            finally:
                self.busy.release()

    queue = make_inline(Exclusive(delay_s=0.0005), inline_ms=50)
    wrong: list[float] = []

    def ask(value: float) -> None:
        for _ in range(30):
            if queue.run_blocking(rows(value), deadline=soon())["y"][0, 0] != 2 * value:
                wrong.append(value)

    async def main() -> None:
        threads = [asyncio.to_thread(ask, float(i)) for i in range(4)]
        answers = await asyncio.gather(*threads, *(queue.run(rows(i), deadline=soon()) for i in range(100)))
        assert [float(a["y"][0, 0]) for a in answers[4:] if a is not None] == [2.0 * i for i in range(100)]

    asyncio.run(main())
    assert not wrong
    queue.close()


def test_bounds_deadlines_poison_and_closing_hold_on_the_loop_too() -> None:
    engine = FakeEngine()
    queue = make_inline(engine, max_queue_rows=3)

    async def main() -> None:
        tasks = [asyncio.ensure_future(queue.run(rows(value), deadline=soon())) for value in (1, POISON, 3)]
        tasks.append(asyncio.ensure_future(queue.run(rows(4), deadline=soon())))
        await asyncio.wait(tasks)
        assert tasks[0].result()["y"][0, 0] == 2
        assert isinstance(tasks[1].exception(), PlatformError)
        assert tasks[2].result()["y"][0, 0] == 6
        assert isinstance(tasks[3].exception(), QueueFullError)
        before = len(engine.batches)
        with pytest.raises(DeadlineExceededError):
            await queue.run(rows(1), deadline=time.monotonic() - 0.001)
        assert len(engine.batches) == before, "expired work does not run"
        cancelled = asyncio.ensure_future(queue.run(rows(9), deadline=soon()))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0.01)
        assert len(engine.batches) == before, "abandoned work does not run"
        await asyncio.to_thread(queue.close)
        with pytest.raises(UnavailableError):
            await queue.run(rows(1), deadline=soon())

    asyncio.run(main())


def test_a_delay_gathers_rows_on_the_loop() -> None:
    engine = FakeEngine()
    queue = make_inline(engine, max_queue_delay_ms=20)

    async def later() -> Any:
        await asyncio.sleep(0.002)
        return await queue.run(rows(2), deadline=soon())

    async def main() -> None:
        await asyncio.gather(queue.run(rows(1), deadline=soon()), later())

    asyncio.run(main())
    assert engine.batches == [2]
    queue.close()
