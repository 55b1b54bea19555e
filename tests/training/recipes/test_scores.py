"""Scores against values worked out by hand, and against scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aiplatform.errors import InvalidInputError
from training.recipes.classic_cnn import choose_padding, pooled_size
from training.recipes.scores import accuracy, confusion_matrix, cross_entropy, regression_metrics, roc_auc
from training.recipes.tasks import Regression, Scale

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


def test_regression_metrics_against_scikit_learn() -> None:
    from sklearn import metrics

    random = np.random.default_rng(1)
    truth = random.normal(50, 9, 200)
    values = truth + random.normal(1, 4, 200)
    assert regression_metrics(values, truth) == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(truth, values),
            "rmse": metrics.root_mean_squared_error(truth, values),
            "r2": metrics.r2_score(truth, values),
        }
    )
    assert set(regression_metrics(values, np.ones(200))) == {"mae", "rmse"}, "what does not vary is not explained"


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_the_loss_of_a_number_is_the_same_in_numpy_keras_and_torch(loss: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from training.recipes import keras_heads, torch_heads

    truth = np.array([10.0, 20.0, 35.0, 80.0], np.float32)
    outputs = np.array([[11.0], [60.0], [35.0], [10.0]], np.float32)
    task = Regression(Scale.of(truth), loss=loss)
    expected = task.validate(outputs, truth)
    losses, measures = keras_heads.build_loss(task)(truth, outputs)
    assert float(np.mean(losses)) == pytest.approx(expected["loss"], rel=1e-5)
    assert float(np.mean(measures)) == pytest.approx(expected["mae"], rel=1e-5)
    scaled = (torch.from_numpy(outputs) - task.scale.mean) / task.scale.deviation
    losses, measures = torch_heads.build_loss(task)(torch.from_numpy(truth), scaled)
    assert float(losses.mean()) == pytest.approx(expected["loss"], rel=1e-5)
    assert float(measures.mean()) == pytest.approx(expected["mae"], rel=1e-5)
