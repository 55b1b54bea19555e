"""Answers for many batches are put together in one array, and nothing else of them stays."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from training.data.dataset import Array
from training.recipes.reading import join_answers


class Answer(np.ndarray):
    """An array that can be watched."""


def test_answers_keep_their_places_shape_and_type() -> None:
    batches = [np.full((rows, 3), rows, np.float32) for rows in (4, 4, 2)]
    joined = join_answers(iter(batches), 10)
    assert joined.dtype == np.float32
    assert np.array_equal(joined, np.concatenate(batches))


def test_no_batchs_answer_lives_longer_than_the_next_ones_making() -> None:
    made: list[weakref.ref[Answer]] = []

    def answers() -> Iterator[Array]:
        for number in range(5):
            assert sum(one() is not None for one in made) <= 1
            answer = np.full((2, 1), number, np.float32).view(Answer)
            made.append(weakref.ref(answer))
            yield answer
            del answer

    assert join_answers(answers(), 10)[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("rows", [3, 5])
def test_a_row_too_few_or_too_many_is_an_error(rows: int) -> None:
    with pytest.raises(ValueError, match=r"rows|broadcast"):
        join_answers(iter([np.zeros((4, 1))]), rows)
    with pytest.raises(ValueError, match="0 rows of 2"):
        join_answers(iter([]), 2)
