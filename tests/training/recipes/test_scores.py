"""Scores against values worked out by hand, and against scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aiplatform.errors import InvalidInputError
from training.recipes.classic_cnn import choose_padding, pooled_size
from training.recipes.scores import accuracy, confusion_matrix, cross_entropy, roc_auc

PROBABILITIES = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
LABELS = np.array([0, 1, 1])


def test_cross_entropy_and_accuracy() -> None:
    assert cross_entropy(PROBABILITIES[:2], LABELS[:2]) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert cross_entropy(PROBABILITIES[2:], LABELS[2:]) == pytest.approx(-math.log(1e-7))
    assert accuracy(PROBABILITIES, LABELS) == pytest.approx(2 / 3)


def test_roc_auc_counts_pairs_and_halves_ties() -> None:
    scores, is_positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True])
    assert roc_auc(scores, is_positive) == pytest.approx(3.5 / 4)
    assert math.isnan(roc_auc(scores, np.ones(4, dtype=bool)))


def test_the_confusion_matrix_has_truth_in_rows() -> None:
    assert confusion_matrix(PROBABILITIES, LABELS).tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("size", "padding", "left"), [(28, "valid", 5), (10, "valid", 1), (8, "same", 2), (4, "same", 1)]
)
def test_padding_leaves_at_least_one_pixel(size: int, padding: str, left: int) -> None:
    chosen = choose_padding(size, size + 9)
    assert chosen == padding
    assert pooled_size(size, chosen) == left


def test_an_image_that_is_too_small_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least 4x4 pixels, not 3x9"):
        choose_padding(3, 9)
