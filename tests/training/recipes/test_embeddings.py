"""The projection of hidden layers is fixed, as large as what it projects, and keeps distances about as they are."""

from __future__ import annotations

import numpy as np
import pytest

from training.recipes.embeddings import projection_matrix

PINNED = [[0.6583630, -0.1903663], [0.3720686, 0.4235513], [0.1664741, -0.0387888]]


def test_the_projection_is_the_same_in_every_process() -> None:
    matrix = projection_matrix(3, 2)
    assert matrix.dtype == np.float32
    assert np.allclose(matrix, PINNED, atol=1e-7)
    assert not np.allclose(projection_matrix(4, 2)[:3] * 2 / 3**0.5, matrix), "another for another width"


@pytest.mark.parametrize("width", [16, 1600, 20_000])
def test_an_embedding_is_as_large_as_the_layer_however_wide_it_is(width: int) -> None:
    rows = np.random.default_rng(1).normal(0, 3, (400, width))
    size = np.sqrt(np.mean((rows @ projection_matrix(width, 64)) ** 2))
    assert size == pytest.approx(3, rel=0.2)


def test_distances_are_kept() -> None:
    rows = np.random.default_rng(2).normal(size=(40, 500))
    projected = rows @ projection_matrix(500, 64)
    before = np.linalg.norm(rows[:, None] - rows, axis=2)[np.triu_indices(40, 1)] / np.sqrt(500)
    after = np.linalg.norm(projected[:, None] - projected, axis=2)[np.triu_indices(40, 1)] / np.sqrt(64)
    assert np.std(after / before) < 0.15
    assert np.mean(after / before) == pytest.approx(1, abs=0.1)
