"""Bytes in pieces: whole again from any place, and not heavier than they are."""

from __future__ import annotations

import random
import sys

import pytest

from aiplatform.http.lane.kept import SMALL_BYTES, KeptBytes


@pytest.mark.parametrize("seed", range(20))
def test_what_came_in_pieces_is_whole_again_from_any_byte_on(seed: int) -> None:
    chooser = random.Random(seed)
    kept, whole = KeptBytes(), b""
    for _ in range(chooser.randint(1, 12)):
        piece = chooser.randbytes(chooser.choice([0, 1, 100, SMALL_BYTES - 1, SMALL_BYTES, 3 * SMALL_BYTES]))
        kept.add(piece)
        whole += piece
    assert kept.size == len(whole)
    for start in (0, 1, len(whole) // 3, len(whole)):
        assert kept.tail(start) == whole[start:]
    kept.clear()
    assert (kept.size, kept.tail(0)) == (0, b"")


def test_single_bytes_take_about_the_memory_that_they_are() -> None:
    kept = KeptBytes()
    for _ in range(10_000):
        kept.add(b"x")
    assert len(kept._pieces) == 1
    assert sys.getsizeof(kept._pieces[0]) < 2 * 10_000
