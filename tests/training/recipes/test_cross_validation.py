"""Each row is tested once by a model that never saw it; thresholds cost least, and groups are counted right."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from aiplatform.errors import InvalidInputError
from tests.training.data.pictures import write_bars
from tests.training.recipes.reporters import RememberingReporter
from tests.training.recipes.softmax_regression import PATH
from training.cross_validation import assign_folds, cross_validate
from training.decisions import (
    Costs,
    choose_threshold,
    cost_of,
    expected_calibration_error,
    parity_gaps,
    rates_by_group,
    sensitivity_specificity,
    thresholds_by_fold,
)
from training.recipes.api import TrainingOrder


def test_folds_have_each_class_in_the_same_proportions() -> None:
    truth = np.array([0] * 70 + [1] * 30)
    fold = assign_folds(truth, folds=5, seed=3)
    assert [int((truth[fold == k] == 1).sum()) for k in range(5)] == [6] * 5
    assert np.bincount(fold).tolist() == [20] * 5
    assert not np.array_equal(fold, assign_folds(truth, folds=5, seed=4))
    with pytest.raises(InvalidInputError, match="there must be 2 folds to as many as rows"):
        assign_folds(truth, folds=1, seed=3)


def test_every_row_is_answered_once_by_a_model_that_never_saw_it(tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.npz", rows=150)
    order = TrainingOrder(
        recipe=PATH,
        parameters={"epochs": 3},
        data_uri=str(tmp_path / "bars.npz"),
        target=None,
        seed=1,
        work_dir=tmp_path,
    )
    found = cross_validate(order, RememberingReporter(), folds=3)
    assert found.outputs.shape == (150, 3) and len(found.metrics) == 3
    right = found.outputs.argmax(axis=1) == found.truth
    by_fold = [float(right[found.fold == k].mean()) for k in range(3)]
    assert by_fold == pytest.approx([m["accuracy"] for m in found.metrics]), "answers are in the rows' order"
    mean, deviation = found.spread("accuracy")
    assert (mean, deviation) == pytest.approx((np.mean(by_fold), np.std(by_fold, ddof=1)))


def test_the_threshold_costs_least() -> None:
    random = np.random.default_rng(2)
    is_positive = random.random(300) < 0.3
    scores = (is_positive * 0.3 + random.random(300)).round(2)  # with ties
    for costs in (Costs(miss=5, alarm=1), Costs(miss=1, alarm=1), Costs(miss=1, alarm=9)):
        chosen = choose_threshold(scores, is_positive, costs)
        every = [cost_of(scores, is_positive, t, costs) for t in [*np.unique(scores), np.inf]]
        assert cost_of(scores, is_positive, chosen, costs) == pytest.approx(min(every))
    assert choose_threshold(scores, np.zeros(300, bool), Costs(miss=1, alarm=1)) == np.inf, "nothing is to be found"


def test_a_fold_has_no_say_in_its_own_threshold() -> None:
    scores, fold = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])
    is_positive = np.array([False, True, False, True])
    assert thresholds_by_fold(scores, is_positive, fold, Costs(miss=1, alarm=1)).tolist() == [0.9, 0.9, 0.2, 0.2]


def test_rates_by_group_by_hand() -> None:
    groups = np.array(["a"] * 4 + ["b"] * 4)
    is_positive = np.array([1, 1, 0, 0, 1, 0, 0, 0], bool)
    is_flagged = np.array([1, 0, 1, 0, 1, 0, 0, 0], bool)
    a, b = rates_by_group(is_flagged, is_positive, groups)
    assert (a.rows, a.positives, a.flagged, a.sensitivity, a.alarms) == (4, 0.5, 0.5, 0.5, 0.5)
    assert (b.positives, b.flagged, b.sensitivity, b.alarms) == (0.25, 0.25, 1.0, 0.0)
    assert parity_gaps([a, b], least_rows=1) == {
        "demographic_parity_difference": 0.25,
        "equalised_odds_difference": 0.5,
    }
    assert sensitivity_specificity(is_flagged, is_positive) == pytest.approx((2 / 3, 4 / 5))


def test_the_calibration_error_is_the_gap_between_said_and_seen() -> None:
    said = np.array([0.75] * 4 + [0.15] * 4)
    assert expected_calibration_error(said, np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)) == pytest.approx(0.075)


def test_the_command_shows_folds_costs_and_groups(tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.npz", rows=90)
    order = ["train", "cross-validate", PATH, "--data", str(tmp_path / "bars.npz"), "--folds", "3", "--set", "epochs=2"]
    out, err = io.StringIO(), io.StringIO()
    call_command(*order, "--positive", "1", "--costs", "5:1", "--json", stdout=out, stderr=err)
    figures = json.loads(out.getvalue())
    assert len(figures["folds"]) == 3 and "fold 3 of 3" in err.getvalue()
    assert figures["decision"]["cost"] <= min(figures["decision"]["cost_of_none"], 1.0)
    out = io.StringIO()
    call_command(*order, "--positive", "1", stdout=out, stderr=err)
    assert "accuracy" in out.getvalue() and "'1' is flagged from" in out.getvalue()
    with pytest.raises(CommandError, match="--costs must be MISS:ALARM"):
        call_command(*order, "--costs", "5")
    with pytest.raises(CommandError, match="--positive must be one of 0, 1, 2, not 'x'"):
        call_command(*order, "--positive", "x", stderr=err)
    with pytest.raises(CommandError, match="--group: there is no column 'sex'"):
        call_command(*order, "--positive", "1", "--group", "sex", stderr=err)
