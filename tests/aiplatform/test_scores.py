"""Scores keep their order and their logarithm in two bytes."""

from __future__ import annotations

import numpy as np
import pytest

from aiplatform.scores import LIMIT, MISSING, decode_odds, encode_scores, log_odds, sigmoid


def test_a_score_survives_in_two_bytes() -> None:
    p = np.array([[1 - x, x] for x in (1e-6, 0.01, 0.5, 0.731, 0.999999)])
    codes = encode_scores(p)
    assert codes is not None and codes.shape == (5, 1)
    assert decode_odds(codes[:, 0]) == pytest.approx(log_odds(p[:, 1]), abs=2.5e-4)
    assert sigmoid(decode_odds(codes[:, 0])) == pytest.approx(p[:, 1], rel=3e-4)


def test_certainty_is_the_end_of_the_scale_and_nan_is_missing() -> None:
    codes = encode_scores(np.array([[0.0, 1.0], [1.0, 0.0], [np.nan, np.nan]]))
    assert codes is not None
    assert decode_odds(codes[:2, 0]).tolist() == [LIMIT, -LIMIT]
    assert codes[2, 0] == MISSING
    assert np.isnan(decode_odds(codes[2]))


def test_three_classes_have_three_columns() -> None:
    codes = encode_scores(np.full((4, 3), 1 / 3))
    assert codes is not None and codes.shape == (4, 3)


@pytest.mark.parametrize(
    "values",
    [np.zeros((0, 2)), np.ones((3, 1)), np.full((2, 100), 0.01), np.array([[2.0, -1.0]]), np.full((1, 2), np.nan)],
)
def test_what_is_no_score_is_not_kept(values: np.ndarray) -> None:
    assert encode_scores(values) is None


def test_a_rows_codes_are_the_same_whatever_stands_beside_it() -> None:
    chance = np.random.default_rng(0)
    for classes in (2, 10):
        rows = np.concatenate([chance.dirichlet(np.full(classes, 0.05), size=50), np.eye(classes)])
        alone, beside = encode_scores(rows), encode_scores(np.concatenate([rows, np.full((1, classes), np.nan)]))
        assert alone is not None and beside is not None
        assert (alone == beside[:-1]).all() and (beside[-1] == MISSING).all()
