"""When a training ends, whose weights it keeps, and how its step size goes; also when it is cut in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.learning.test_learning import order, weights
from tests.training.recipes.reporters import RememberingReporter
from training.learning import learn
from training.recipes import loop
from training.recipes.api import StopRequestedError, TrainedModel, TrainingFailedError, TrainingOrder
from training.recipes.checkpoints import BEST, LEARNER
from training.recipes.schedules import rate_factor
from training.recipes.steps import StepOptions, balanced_weights

RISING: dict[str, Any] = {"learning_rate": 2.0, "epochs": 12}  # on noise: the validation loss soon rises again


def run(work_dir: Path, **parameters: Any) -> tuple[TrainedModel, RememberingReporter]:
    write_noise(work_dir)
    reporter = RememberingReporter()
    return learn(order(work_dir, **parameters), reporter), reporter


def write_noise(folder: Path) -> None:
    """Write pictures that say a little about their labels, for the tests' orders to find."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(4)
    labels = random.integers(0, 3, 400)
    images = random.normal(120 + 5 * labels[:, None, None, None], 60, (400, 8, 8, 1)).clip(0, 255).astype(np.uint8)
    np.savez(folder / "bars.npz", images=images, labels=labels)


def best_epoch(model: TrainedModel) -> int:
    return int(min(model.history, key=lambda epoch: epoch["val_loss"])["epoch"])


def test_patience_ends_a_training_that_gets_no_better_and_says_so(tmp_path: Path) -> None:
    model, reporter = run(tmp_path, **RISING, patience=2)
    assert len(model.history) == best_epoch(model) + 2 < 12
    assert "(patience)" in reporter.messages[-1]


def test_the_best_epochs_weights_become_the_model(tmp_path: Path) -> None:
    model, reporter = run(tmp_path / "whole", **RISING, keep="best")
    best = best_epoch(model)
    assert 1 <= best < 12
    shorter, _ = run(tmp_path / "shorter", learning_rate=2.0, epochs=best)
    assert np.array_equal(weights(model, tmp_path / "a"), weights(shorter, tmp_path / "b"))
    assert reporter.messages[-1] == f"the model is that of epoch {best}, the best"


@pytest.mark.parametrize("cut", [(2, 1), (5, 3), (12, 2)])
def test_cut_anywhere_the_same_epoch_is_the_best(tmp_path: Path, cut: tuple[int, int]) -> None:
    options: dict[str, Any] = {**RISING, "keep": "best", "schedule": "cosine", "warmup": 0.1}
    whole, _ = run(tmp_path / "whole", **options)
    write_noise(tmp_path / "cut")
    with pytest.raises(StopRequestedError):
        learn(order(tmp_path / "cut", **options), RememberingReporter(stop_at=cut))
    resumed, _ = run(tmp_path / "cut", **options)
    assert np.array_equal(weights(whole, tmp_path / "a"), weights(resumed, tmp_path / "b"))
    assert resumed.history == whole.history


def test_a_training_that_ended_early_is_not_gone_on_with(tmp_path: Path) -> None:
    first, _ = run(tmp_path, **RISING, patience=1)
    again, reporter = run(tmp_path, **RISING, patience=1)
    assert again.history == first.history
    assert reporter.steps == []


def test_a_best_checkpoint_that_was_cut_fails_the_run_instead_of_giving_another_model(tmp_path: Path) -> None:
    run(tmp_path, **RISING, keep="best")
    checkpoint = next((tmp_path / "checkpoints").glob(f"{BEST}/{LEARNER}"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-10])
    with pytest.raises(TrainingFailedError, match="best epoch's checkpoint"):
        run(tmp_path, **RISING, keep="best")


def test_the_learning_rate_goes_along_its_schedule_over_all_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.training.recipes.softmax_regression import SoftmaxLearner

    rates: list[float] = []
    monkeypatch.setattr(SoftmaxLearner, "set_learning_rate", lambda self, rate: rates.append(rate))
    _, reporter = run(tmp_path, learning_rate=0.5, schedule="linear", warmup=0.25)
    steps = len(reporter.steps)
    assert len(rates) == steps
    assert max(rates) == 0.5
    assert rates[0] < 0.5 and rates[-1] < 0.5 / (0.7 * steps)


def test_schedules_begin_at_one_after_the_warmup_and_end_near_zero() -> None:
    for schedule in ("linear", "cosine"):
        factors = [rate_factor(schedule, step=step, steps=100, warmup=0.1) for step in range(100)]
        assert factors[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
        assert factors[10] == 1.0
        assert all(a > b for a, b in pairwise(factors[10:]))
        assert 0 < factors[-1] < 0.02
    assert rate_factor("cosine", step=50, steps=100, warmup=0.0) == pytest.approx(0.5)
    assert rate_factor("constant", step=99, steps=100, warmup=0.0) == 1.0


class Ticking:
    """A clock on which everything takes ten seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 10.0
        return self.now_s


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def with_clock(**parts: Any) -> loop.TrainingLoop:
        return loop.TrainingLoop(**parts, clock=Ticking())

    monkeypatch.setattr("training.learning.TrainingLoop", with_clock)
    yield


@pytest.mark.usefixtures("slow")
def test_a_time_budget_ends_a_training_with_what_it_has_learned(tmp_path: Path) -> None:
    model, reporter = run(tmp_path, max_minutes=0.5)
    assert len(reporter.steps) == 3, "three steps of ten seconds"
    assert [epoch["epoch"] for epoch in model.history] == [1]
    assert "max_minutes is 0.5" in reporter.messages[-1]


@pytest.mark.usefixtures("slow")
def test_the_time_of_an_earlier_attempt_counts(tmp_path: Path) -> None:
    write_noise(tmp_path)
    with pytest.raises(StopRequestedError):
        learn(order(tmp_path, max_minutes=0.5), RememberingReporter(stop_at=(1, 2)))
    _, reporter = run(tmp_path, max_minutes=0.5)
    assert len(reporter.steps) == 1


def test_a_step_is_cut_into_pieces_that_are_not_empty_and_hold_every_row_once() -> None:
    for rows in (1, 2, 7, 64):
        for pieces in (1, 3, 64, 100):
            cut = StepOptions(pieces=pieces).cut(rows)
            assert [row for piece in cut for row in range(rows)[piece]] == list(range(rows))
            assert all(piece.stop > piece.start for piece in cut)


def test_balanced_weights_make_every_class_count_alike() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [3])
    found = balanced_weights(labels, 4)
    assert found[2] == 0
    assert [float(found[c] * (labels == c).sum()) for c in (0, 1, 3)] == pytest.approx([25.0] * 3)


def test_an_order_with_another_option_does_not_take_the_first_ones_checkpoints(tmp_path: Path) -> None:
    first = order(tmp_path)
    learn(first, RememberingReporter())
    reporter = RememberingReporter()
    other: TrainingOrder = replace(first, parameters={**first.parameters, "clip_norm": 1.0})
    learn(other, reporter)
    assert reporter.steps
