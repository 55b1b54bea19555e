"""Measures of classification agree with scikit-learn's on any data, and with truth on the edges."""

from __future__ import annotations

import warnings
from operator import attrgetter

import numpy as np
import pytest
from sklearn import metrics as exact

from monitoring.performance.classification import measure_classification
from monitoring.performance.counts import MAX_LABELS, Counts
from monitoring.performance.labelled_rows import LabelledRow, count_rows
from monitoring.performance.results import ClassificationResult
from tests.monitoring.performance.rows import count, labelled, random_probabilities

pytestmark = pytest.mark.long


def measured(truth: np.ndarray, probabilities: np.ndarray, *, windows: int = 1) -> ClassificationResult:
    found = measure_classification(count(labelled(truth.tolist(), probabilities), windows=windows))
    assert found is not None
    return found


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_every_measure_is_scikit_learns(classes: int, seed: int) -> None:
    truth, probabilities = random_probabilities(2000, classes, seed=seed)
    said = probabilities.argmax(axis=1)
    found = measured(truth, probabilities, windows=7)
    assert found.accuracy.value == pytest.approx(exact.accuracy_score(truth, said))
    for average, mean in (("macro", "macro"), ("weighted", "weighted")):
        p, r, f, _ = exact.precision_recall_fscore_support(truth, said, average=average)
        assert getattr(found.precision, mean).value == pytest.approx(p)
        assert getattr(found.recall, mean).value == pytest.approx(r)
        assert getattr(found.f1, mean).value == pytest.approx(f)
    p, r, f, support = exact.precision_recall_fscore_support(truth, said)
    assert [c.precision.value for c in found.classes] == pytest.approx(p)
    assert [c.recall.value for c in found.classes] == pytest.approx(r)
    assert [c.f1.value for c in found.classes] == pytest.approx(f)
    assert [c.support for c in found.classes] == support.tolist()
    assert np.array_equal(np.array(found.confusion.counts), exact.confusion_matrix(truth, said))
    assert found.log_loss.value == pytest.approx(exact.log_loss(truth, probabilities), abs=2e-4)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_area_under_the_curve_is_within_the_bins_of_the_exact_one(classes: int) -> None:
    truth, probabilities = random_probabilities(3000, classes, seed=5, skill=1.0)
    found = measured(truth, probabilities, windows=3)
    for place, result in enumerate(found.classes):
        wanted = exact.roc_auc_score(truth == place, probabilities[:, place])
        assert result.roc_auc.value == pytest.approx(wanted, abs=5e-4)
        assert result.roc_auc.low is not None and result.roc_auc.high is not None
        assert result.roc_auc.low < wanted < result.roc_auc.high
    scores = probabilities[:, 1] if classes == 2 else probabilities
    assert found.roc_auc.value == pytest.approx(exact.roc_auc_score(truth, scores, multi_class="ovr"), abs=5e-4)


def test_ties_count_half() -> None:
    truth = np.array([0, 1, 0, 1])
    found = measured(truth, np.full((4, 2), 0.5, np.float32))
    assert found.roc_auc.value == 0.5


def test_a_perfect_separation_has_an_area_of_one_and_an_honest_interval() -> None:
    truth = np.array([0] * 20 + [1] * 20)
    probabilities = np.where(truth[:, None] == np.arange(2), 0.9, 0.1)
    found = measured(truth, probabilities)
    assert (found.roc_auc.value, found.roc_auc.high) == (1.0, 1.0)
    assert found.roc_auc.low is not None and 0.7 < found.roc_auc.low < 0.95


def test_one_class_alone_has_no_area_and_no_false_precision() -> None:
    found = measured(np.zeros(50, int), np.tile([0.8, 0.2], (50, 1)))
    assert (found.accuracy.value, found.roc_auc.value) == (1.0, None)
    assert [(c.label, c.precision.value, c.recall.value) for c in found.classes] == [("0", 1.0, 1.0)]


def test_a_class_that_is_never_said_has_no_precision_and_counts_as_zero_in_the_mean() -> None:
    truth = np.array([0, 0, 1, 1])
    probabilities = np.tile([0.9, 0.1], (4, 1))
    found = measured(truth, probabilities)
    assert found.classes[1].precision.value is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = exact.precision_score(truth, probabilities.argmax(axis=1), average="macro", zero_division=0)
    assert found.precision.macro.value == pytest.approx(wanted)


def test_calibration_is_the_mean_distance_of_confidence_and_accuracy() -> None:
    truth, probabilities = random_probabilities(4000, 4, seed=1, skill=1.0)
    sharpened = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)  # too sure of itself
    found = measured(truth, sharpened, windows=4).calibration
    confidence, right = sharpened.max(axis=1), sharpened.argmax(axis=1) == truth
    bins = np.minimum((confidence * 15).astype(int), 14)
    wanted = sum(
        (bins == b).mean() * abs(confidence[bins == b].mean() - right[bins == b].mean()) for b in np.unique(bins)
    )
    assert found.expected_calibration_error.value == pytest.approx(wanted, abs=1e-6)
    assert found.noise_floor is not None and found.noise_floor < wanted / 3
    assert sum(b.count for b in found.bins) == 4000


def test_a_calibrated_model_has_an_error_near_its_noise_floor() -> None:
    random = np.random.default_rng(3)
    confidence = random.uniform(0.5, 1, 5000)
    truth = (random.random(5000) > confidence).astype(int)
    found = measured(truth, np.stack([confidence, 1 - confidence], axis=1)).calibration
    assert found.expected_calibration_error.value == pytest.approx(found.noise_floor, rel=0.6)


@pytest.fixture(scope="module")
def samples() -> list[ClassificationResult]:
    """Give the measures of 200 small samples, and last those of a large one: near the truth."""
    small = [measured(*random_probabilities(300, 3, seed=seed, skill=1.2)) for seed in range(200)]
    return [*small, measured(*random_probabilities(100_000, 3, seed=99, skill=1.2))]


@pytest.mark.parametrize(
    "measure", ["accuracy", "f1.macro", "f1.weighted", "precision.macro", "recall.macro", "roc_auc", "log_loss"]
)
def test_nineteen_of_twenty_intervals_hold_the_truth(samples: list[ClassificationResult], measure: str) -> None:
    *found, whole = map(attrgetter(measure), samples)
    held = sum(estimate.low <= whole.value <= estimate.high for estimate in found)
    assert 180 <= held <= 200  # 190 expected; 180 is 3.2 standard deviations below


def test_windows_merge_to_the_whole() -> None:
    truth, probabilities = random_probabilities(500, 4, seed=2)
    whole, parts = measured(truth, probabilities), measured(truth, probabilities, windows=23)
    assert whole == parts


def test_what_is_taken_back_leaves_nothing_behind() -> None:
    truth, probabilities = random_probabilities(200, 3, seed=4)
    rows = labelled(truth.tolist(), probabilities)
    known = count(rows)
    wrong = labelled(((truth + 1) % 3).tolist(), probabilities)
    both = count_rows([*wrong, *labelled(((truth + 1) % 3).tolist(), probabilities, sign=-1)], known=known)
    for cells in (both.confusion, both.sure, both.scores, both.segments):
        assert not len(cells.numbers)
    assert (both.labelled, both.scored, both.loss_sum, both.loss_square_sum) == (0, 0, 0, 0)


def test_more_labels_than_are_kept_stay_bounded_and_right_answers_right() -> None:
    rows = [LabelledRow(true_label=str(i), predicted_label=str(i if i % 2 else i + 1)) for i in range(600)]
    found = measure_classification(count_rows(rows, known=Counts()))
    assert found is not None
    assert found.accuracy.value == 0.5
    assert len(found.confusion.labels) == MAX_LABELS + 1
    assert sum(map(sum, found.confusion.counts)) == 600


def test_scores_that_are_no_probabilities_are_left_out() -> None:
    rows = labelled([0, 1], np.array([[5.0, -3.0], [-1.0, 2.0]]))
    found = measure_classification(count(rows))
    assert found is not None
    assert (found.accuracy.value, found.log_loss.value, found.calibration.bins) == (1.0, None, ())
