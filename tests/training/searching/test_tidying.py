"""Checkpoints of trials go once they are of no use, and no sooner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training import run_files
from training.models import Run, Search, Trial
from training.searching.advancing import advance_search
from training.searching.orders import SearchOrder, cancel_search, create_search, resume_search
from training.searching.tidying import remove_spent_checkpoints
from training.states import RunState, SearchState, TrialState

from ..factories import make_run
from .test_search import ORDER, learn, runs


@pytest.fixture
def search(db: None, settings: Any, tmp_path: Path) -> Search:
    settings.TRAINING_DIR = tmp_path
    return create_search(SearchOrder(**{**ORDER, "trials": 3, "parallel": 3}))


def train(run: Run) -> None:
    """Leave what a trainer leaves."""
    folder = run_files.run_folder(run.pk)
    checkpoint = run_files.work_folder(folder) / "000001-000000"
    checkpoint.mkdir(parents=True)
    (checkpoint / "learner").write_text("weights")
    run_files.log_file(folder).write_text("epoch 1\n")


def kept(search: Search) -> list[int]:
    """Return the numbers of the trials that have a checkpoint."""
    return [place for place, run in enumerate(runs(search)) if _work(run).is_dir()]


def _work(run: Run) -> Path:
    return run_files.work_folder(run_files.run_folder(run.pk))


def test_only_the_winners_checkpoint_outlives_the_search_and_all_logs_do(search: Search) -> None:
    advance_search(search)
    for run, loss in zip(runs(search), (0.9, 0.3, 0.5), strict=True):
        train(run)
        if loss != 0.5:
            learn(run, loss)
    advance_search(search)
    remove_spent_checkpoints()
    assert kept(search) == [0, 1, 2], "it goes on"
    learn(runs(search)[2], 0.5)
    advance_search(search)
    assert kept(search) == [1]
    assert all(run_files.read_log_tail(run.pk, lines=1) == "epoch 1" for run in runs(search))
    assert not list(run_files.run_folder(runs(search)[0].pk).glob(".*"))


def test_a_cancelled_search_keeps_what_it_goes_on_from(search: Search) -> None:
    advance_search(search)
    first, second, third = runs(search)
    for run in (first, second, third):
        train(run)
    learn(first, 0.9)
    learn(second, 0.3)
    advance_search(search)
    cancel_search(search)
    remove_spent_checkpoints()
    assert kept(search) == [1, 2], "the best, and the one in the middle"
    resume_search(search)
    third.refresh_from_db()
    assert third.state == RunState.QUEUED
    learn(third, 0.1)
    advance_search(search)
    assert kept(search) == [2]


def test_a_trial_whose_process_still_writes_is_left_until_it_has_ended(search: Search) -> None:
    advance_search(search)
    for run in runs(search):
        train(run)
        learn(run, 0.5)
    Trial.objects.filter(search=search, number=2).update(state=TrialState.PRUNED)
    Run.objects.filter(trial__number=2).update(state=RunState.STOPPING)
    advance_search(search)
    search.refresh_from_db()
    assert search.state == SearchState.SUCCEEDED
    assert kept(search) == [0, 2]
    Run.objects.filter(trial__number=2).update(state=RunState.CANCELLED)
    assert remove_spent_checkpoints() == 1
    assert kept(search) == [0]


def test_runs_that_are_no_trials_and_registered_ones_are_left_alone(search: Search, tmp_path: Path) -> None:
    alone = make_run(state=RunState.SUCCEEDED)
    train(alone)
    (tmp_path / "notes").mkdir()
    advance_search(search)
    for run in runs(search):
        train(run)
        learn(run, 0.5)
    Run.objects.filter(trial__number=2).update(registers=True)
    advance_search(search)
    assert kept(search) == [0, 2]
    assert _work(alone).is_dir()
