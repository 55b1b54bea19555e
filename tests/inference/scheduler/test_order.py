"""Who goes first, who shares, how much may wait."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest

from aiplatform.artifacts import Padding
from aiplatform.errors import InvalidInputError, PayloadTooLargeError, QueueFullError
from aiplatform.tensors import Signature
from inference.engines import Arrays
from inference.recording_api import NoMetrics
from inference.scheduler import BatchLimits, BatchQueue, DeviceSlots, Priority
from tests.inference.serving_fakes import DOUBLING, FakeEngine, make_queue, rows, spec, wait_for

FREE_WIDTH = Signature(inputs=(spec("x", shape=(-1, -1)),), outputs=(spec("y", shape=(-1, -1)),))
BUCKETS = Padding(input="x", axis=1, sizes=(4, 8), value=0.0, outputs=("y",))


class Remembering(FakeEngine):
    """Keeps the first value of each row, in the order of the calls."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[float] = []
        self.shapes: list[tuple[int, ...]] = []

    def run(self, inputs: Arrays) -> Arrays:
        outputs = super().run(inputs)
        self.seen.extend(inputs["x"][:, 0].tolist())
        self.shapes.append(inputs["x"].shape)
        return outputs


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def test_urgent_rows_run_before_those_that_can_wait() -> None:
    async def main() -> None:
        engine = Remembering(is_open=False)
        queue = make_queue(engine, max_batch_rows=1)
        tasks = [asyncio.ensure_future(queue.run(rows(0), deadline=soon()))]
        await asyncio.to_thread(engine.began.wait, 10)
        for value, priority in ((1, Priority.LOW), (2, Priority.NORMAL), (3, Priority.HIGH), (4, Priority.NORMAL)):
            tasks.append(asyncio.ensure_future(queue.run(rows(value), deadline=soon(), priority=priority)))
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert engine.seen == [0, 3, 2, 4, 1]
        queue.close()

    asyncio.run(main())


def test_the_inputs_that_wait_are_bounded_in_bytes() -> None:
    async def main() -> None:
        engine = FakeEngine(is_open=False)
        queue = make_queue(engine, max_queue_bytes=16)  # a row has 8
        tasks = [asyncio.ensure_future(queue.run(rows(0), deadline=soon()))]
        await asyncio.to_thread(engine.began.wait, 10)
        tasks += [asyncio.ensure_future(queue.run(rows(i), deadline=soon())) for i in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match=r"16 bytes wait, the limit is 16 \(MAX_QUEUE_BYTES\)"):
            await queue.run(rows(3), deadline=soon())
        with pytest.raises(PayloadTooLargeError, match="MAX_QUEUE_BYTES"):
            await queue.run(rows(1, 2, 3), deadline=soon())
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert queue.depth == 0
        queue.close()

    asyncio.run(main())


def make_padded(engine: Any, **limits: Any) -> BatchQueue:
    return BatchQueue(
        endpoint="double", version=1, engine=engine, signature=FREE_WIDTH, limits=BatchLimits(**limits),
        metrics=NoMetrics(), padding=(BUCKETS,),
    )  # fmt: skip


def wide(*values: float) -> Arrays:
    return {"x": np.array([values], dtype=np.float32)}


def test_rows_of_different_lengths_share_a_batch_through_their_bucket() -> None:
    async def main() -> None:
        engine = Remembering(is_open=False)
        queue = make_padded(engine)
        tasks = [asyncio.ensure_future(queue.run(wide(0), deadline=soon()))]
        await asyncio.to_thread(engine.began.wait, 10)
        inputs = (wide(1, 2), wide(3, 4, 5), wide(6), wide(1, 2, 3, 4, 5))
        tasks += [asyncio.ensure_future(queue.run(one, deadline=soon())) for one in inputs]
        await asyncio.sleep(0)
        engine.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [answer["y"].tolist() for answer in answers[1:]] == [
            [[2, 4]], [[6, 8, 10]], [[12]], [[2, 4, 6, 8, 10]],
        ]  # fmt: skip
        assert engine.shapes == [(1, 4), (3, 4), (1, 8)]
        queue.close()

    asyncio.run(main())


def test_beyond_the_largest_bucket_is_refused() -> None:
    queue = make_padded(FakeEngine())
    with pytest.raises(InvalidInputError, match=r"at most 8 \(the artifact's largest bucket\), not 9"):
        queue.run_blocking(wide(*range(9)), deadline=soon())
    assert queue.run_blocking(wide(*range(8)), deadline=soon())["y"].shape == (1, 8)
    queue.close()


def test_two_endpoints_on_one_device_take_turns() -> None:
    turns: list[str] = []

    class Turns(FakeEngine):
        def __init__(self, name: str) -> None:
            super().__init__(is_open=False)
            self.name = name

        def run(self, inputs: Arrays) -> Arrays:
            outputs = super().run(inputs)
            turns.append(self.name)
            return outputs

    slots = DeviceSlots(1)
    engines = {name: Turns(name) for name in ("busy", "quiet")}
    queues = {
        name: BatchQueue(
            endpoint=name, version=1, engine=engine, signature=DOUBLING, limits=BatchLimits(max_batch_rows=1),
            metrics=NoMetrics(), slots=slots,
        )
        for name, engine in engines.items()
    }  # fmt: skip

    async def main() -> None:
        tasks = [asyncio.ensure_future(queues["busy"].run(rows(i), deadline=soon())) for i in range(10)]
        await asyncio.to_thread(engines["busy"].began.wait, 10)
        tasks += [asyncio.ensure_future(queues["quiet"].run(rows(i), deadline=soon())) for i in range(2)]
        await asyncio.to_thread(wait_for, lambda: bool(slots._waiting))
        for engine in engines.values():
            engine.gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert "quiet" in turns[:3], turns
    for queue in queues.values():
        queue.close()


def test_an_engine_that_bears_several_calls_gets_them_at_once() -> None:
    class Several(FakeEngine):
        def __init__(self) -> None:
            super().__init__()
            self.together = threading.Barrier(3, timeout=10)

        def run(self, inputs: Arrays) -> Arrays:
            self.together.wait()
            return super().run(inputs)

    queue = BatchQueue(
        endpoint="double", version=1, engine=Several(), signature=DOUBLING, limits=BatchLimits(max_batch_rows=1),
        metrics=NoMetrics(), concurrency=3,
    )  # fmt: skip

    async def main() -> None:
        answers = await asyncio.gather(*(queue.run(rows(i), deadline=soon()) for i in range(3)))
        assert [float(answer["y"][0, 0]) for answer in answers] == [0, 2, 4]

    asyncio.run(main())
    queue.close()


def test_rows_that_would_come_too_late_are_refused_at_once() -> None:
    async def main() -> None:
        engine = FakeEngine(delay_s=0.05)
        queue = BatchQueue(
            endpoint="double", version=1, engine=engine, signature=DOUBLING,
            limits=BatchLimits(max_batch_rows=2, inline_ms=1000), metrics=NoMetrics(), call_ms={1: 50.0},
        )  # fmt: skip
        patient = [asyncio.ensure_future(queue.run(rows(i), deadline=soon())) for i in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match=r"10 rows wait, about 0\.50 s, too long for the request's deadline"):
            await queue.run(rows(11), deadline=soon(0.1))
        assert not any(task.done() for task in patient), "refused before the engine ran"
        assert [float((await task)["y"][0, 0]) for task in patient] == [2.0 * i for i in range(10)]
        queue.close()

    asyncio.run(main())


def test_what_the_loop_does_between_calls_counts_in_what_rows_will_wait() -> None:
    """Under overload much of a worker's time goes to refusing: rows wait longer than engine calls take."""

    async def main() -> None:
        queue = BatchQueue(
            endpoint="double", version=1, engine=FakeEngine(delay_s=0.01), signature=DOUBLING,
            limits=BatchLimits(max_batch_rows=1, inline_ms=10), metrics=NoMetrics(), call_ms={1: 5.0},
        )  # fmt: skip
        tasks = [asyncio.ensure_future(queue.run(rows(i), deadline=soon())) for i in range(60)]
        await asyncio.sleep(0)
        while queue.depth > 20:
            time.sleep(0.03)  # the loop has other work than the engine
            await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="too long for the request's deadline"):
            await queue.run(rows(61), deadline=soon(0.5))  # of the engine's time there is enough: 20 rows of 10 ms
        assert len(await asyncio.gather(*tasks)) == 60
        queue.close()

    asyncio.run(main())
