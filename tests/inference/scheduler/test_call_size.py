"""How many rows a call is given follows from what calls were measured to take."""

from __future__ import annotations

import asyncio

import pytest

from inference.recording_api import NoMetrics
from inference.scheduler import BatchLimits, BatchQueue
from inference.scheduler.call_size import best_call_rows
from tests.inference.scheduler.test_inline import soon
from tests.inference.serving_fakes import DOUBLING, FakeEngine, rows

OUTGROWS_CACHE = {1: 0.1, 8: 0.4, 32: 2.0}


@pytest.mark.parametrize(
    ("call_ms", "most", "expected"),
    [
        (OUTGROWS_CACHE, 64, 8),
        ({1: 0.1, 8: 0.4, 32: 1.0}, 64, 64),  # the greatest is the best: more may be better still
        ({1: 0.005, 8: 0.03, 32: 0.14}, 64, 64),  # quicker with 8, but not by what a call costs us
        ({1: 0.1, 8: 0.4, 32: 1.7}, 64, 64),  # too little to tell from noise
        (OUTGROWS_CACHE, 4, 4),  # an operator's bound below all that was measured
        ({1: 0.01, 32: 5.0}, 64, 64),  # nothing but one size that counts
        ({}, 64, 64),
    ],
)
def test_the_size_that_is_quickest_by_the_row_is_taken(call_ms: dict[int, float], most: int, expected: int) -> None:
    assert best_call_rows(call_ms, most) == expected


def test_a_large_request_is_cut_for_an_engine_that_is_slower_with_many_rows_and_answered_in_one_turn() -> None:
    engine = FakeEngine()
    queue = BatchQueue(
        endpoint="double", version=1, engine=engine, signature=DOUBLING, limits=BatchLimits(inline_ms=1000.0),
        metrics=NoMetrics(), call_ms=OUTGROWS_CACHE,
    )  # fmt: skip
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        counting = asyncio.ensure_future(count_turns())
        await asyncio.sleep(0)
        large, small = await asyncio.gather(
            queue.run(rows(*range(20)), deadline=soon()), queue.run(rows(7), deadline=soon())
        )
        counting.cancel()
        assert large["y"][:, 0].tolist() == [2 * i for i in range(20)]
        assert small["y"][:, 0].tolist() == [14]

    asyncio.run(main())
    assert engine.batches == [8, 8, 5]
    assert turns < 8, "the loop went on between the calls of one request"
    queue.close()
