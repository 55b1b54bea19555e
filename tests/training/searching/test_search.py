"""Searches: how they are ordered, advance, survive, end, and how their winner gets into the registry."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from aiplatform.errors import ConflictError, InvalidInputError
from training import selectors
from training.models import EpochMetrics, ModelVersion, Run, Search, Trial
from training.resources.asking import ResourceOrder
from training.searching import advancing
from training.searching.advancing import advance_search
from training.searching.orders import SearchOrder, cancel_search, create_search, register_winner, resume_search
from training.states import RunState, SearchState, TrialState

from ..conftest import Bench
from ..stand_in import RECIPE

ORDER: dict[str, Any] = {
    "recipe": RECIPE, "data_uri": "digits", "model_name": "sleepy", "space": "learning_rate=log:1e-4..1e-1",
    "parameters": {"epochs": 3}, "metric": "loss", "trials": 4, "parallel": 2, "pruner": "none",
}  # fmt: skip


@pytest.fixture
def search(db: None) -> Search:
    return create_search(SearchOrder(**ORDER))


def learn(run: Run, *losses: float, state: RunState = RunState.SUCCEEDED) -> None:
    """Play the trainer: write the epochs of a run, and its state."""
    for epoch, loss in enumerate(losses, 1):
        EpochMetrics.objects.update_or_create(run=run, epoch=epoch, defaults={"values": {"loss": loss}})
    Run.objects.filter(pk=run.pk).update(state=state)


def runs(search: Search) -> list[Run]:
    return list(Run.objects.filter(trial__search=search).order_by("trial__number"))


def states(search: Search) -> list[str]:
    return list(search.trials.values_list("state", flat=True))


def test_trials_are_runs_of_their_own_as_many_at_once_as_allowed(search: Search) -> None:
    advance_search(search)
    first, second = runs(search)
    assert (first.state, first.registers, first.parameters["epochs"]) == (RunState.QUEUED, False, 3)
    assert first.parameters["learning_rate"] != second.parameters["learning_rate"]
    assert first.reason == f"trial 0 of search {search.short_id}"
    assert first.tag_names == [f"search:{search.short_id}"]
    advance_search(search)
    assert len(runs(search)) == 2
    learn(first, 0.9, 0.5)
    advance_search(search)
    assert states(search) == [TrialState.COMPLETE, TrialState.RUNNING, TrialState.RUNNING]
    assert search.trials.get(number=0).value == 0.5


def test_each_trial_asks_for_what_the_search_was_ordered_with(train_api: APIClient) -> None:
    made = train_api.post(
        "/api/training/searches/", {**ORDER, "cores": 0.5, "memory_bytes": 2**30, "priority": -2}, format="json"
    ).json()
    assert made["resources"] == {"cores": 0.5, "memory_bytes": 2**30, "priority": -2}
    search = Search.objects.get(pk=made["id"])
    advance_search(search)
    assert {(run.cores, run.memory_bytes, run.gpus, run.priority) for run in runs(search)} == {(0.5, 2**30, None, -2)}
    out = io.StringIO()
    call_command("train", "search-show", search.short_id, stdout=out)
    assert "each trial asks for cores" in out.getvalue()


def test_a_search_whose_trials_no_machine_can_hold_is_not_begun(db: None) -> None:
    with pytest.raises(InvalidInputError, match="the largest machine has"):
        create_search(SearchOrder(**ORDER, resources=ResourceOrder(cores=5000)))
    assert not Search.objects.exists()


def test_a_search_ends_when_all_have_ended_and_knows_the_best(search: Search) -> None:
    for round_ in range(4):
        advance_search(search)
        for place, run in enumerate(runs(search)):
            if run.state == RunState.QUEUED:
                learn(run, 1.0, 0.5 - 0.1 * (place + round_))
    advance_search(search)
    search.refresh_from_db()
    assert search.state == SearchState.SUCCEEDED
    best = selectors.best_trial(search)
    assert best is not None
    assert best.value == min(trial.value for trial in search.trials.all() if trial.value is not None)
    assert advance_search(search) is False


def test_one_process_advances_at_a_time_and_a_dead_ones_lease_runs_out(search: Search) -> None:
    known = Search.objects.get(pk=search.pk)
    assert advancing._claim(known) == 1
    assert advancing._claim(known) is None  # the fence has moved
    assert advance_search(Search.objects.get(pk=search.pk)) is False  # the lease holds
    Search.objects.update(lease_expires_at=timezone.now())
    assert advance_search(Search.objects.get(pk=search.pk)) is True


def test_a_process_killed_between_trial_and_run_leaves_no_trial_twice(search: Search) -> None:
    advance_search(search)
    lost = search.trials.get(number=1)
    Trial.objects.filter(pk=lost.pk).update(run=None)  # the order was given; the note of it was not written
    advance_search(Search.objects.get(pk=search.pk))
    assert Run.objects.count() == 2
    assert search.trials.get(number=1).run_id == lost.run_id


def test_a_hopeless_trial_is_given_up_and_its_run_cancelled(db: None) -> None:
    search = create_search(SearchOrder(**{**ORDER, "pruner": "median", "parallel": 4, "trials": 4}))
    advance_search(search)
    first = runs(search)
    for run in first[:3]:
        learn(run, 1.0, 0.5, 0.2)
    learn(first[3], 3.0, 2.9, state=RunState.RUNNING)
    advance_search(search)
    advance_search(search)
    first[3].refresh_from_db()
    trial = search.trials.get(number=3)
    assert (trial.state, trial.value, first[3].state) == (TrialState.PRUNED, 2.9, RunState.STOPPING)
    assert "given up after epoch 2" in first[3].notes
    search.refresh_from_db()
    assert search.state == SearchState.SUCCEEDED


def test_a_metric_that_nobody_measures_fails_the_search_and_names_those_there_are(db: None) -> None:
    search = create_search(SearchOrder(**{**ORDER, "metric": "val_loss", "trials": 8}))
    for _ in range(6):
        advance_search(search)
        for run in runs(search):
            if run.state == RunState.QUEUED:
                learn(run, 0.5)
    search.refresh_from_db()
    assert search.state == SearchState.FAILED
    assert "measured no 'val_loss'; it has: loss" in search.message
    assert "first 5 trials failed" in search.message or "first 6 trials failed" in search.message


def test_the_best_epoch_counts_where_the_best_is_kept(db: None) -> None:
    search = create_search(SearchOrder(**{**ORDER, "parameters": {"epochs": 3, "keep": "best"}}))
    advance_search(search)
    learn(runs(search)[0], 0.9, 0.1, 0.7)
    advance_search(search)
    assert search.trials.get(number=0).value == 0.1


def test_cancelling_stops_the_trials_and_resuming_goes_on_with_them(search: Search) -> None:
    advance_search(search)
    cancel_search(search)
    assert [run.state for run in runs(search)] == [RunState.CANCELLED] * 2
    assert advance_search(search) is False
    with pytest.raises(ConflictError, match="has ended already"):
        cancel_search(search)
    resume_search(search, trials=6)
    assert [run.state for run in runs(search)] == [RunState.QUEUED] * 2
    with pytest.raises(ConflictError, match="is running"):
        resume_search(search)
    with pytest.raises(InvalidInputError, match=r"from 2 .* to 1000, not 1"):
        resume_search(search, trials=1)
    assert advance_search(search) is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trials": 0}, "trials must be from 1 to 1000, not 0"),
        ({"parallel": 65}, "parallel must be from 1 to 64, not 65"),
        ({"sampler": "bayes"}, "sampler must be one of tpe, random, grid, not 'bayes'"),
        ({"pruner": "x"}, "pruner must be one of"),
        ({"goal": "up"}, "goal must be one of min, max"),
        ({"metric": "test accuracy"}, "test rows must not choose"),
        ({"parameters": {"learning_rate": 0.1}}, "in the space and set to 0.1"),
        ({"space": "patience=1..9/3"}, "for the sampler 'grid' only"),
        ({"space": "lr=1..2"}, "no parameter 'lr'"),
    ],
)
def test_a_wrong_order_begins_nothing(db: None, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        create_search(SearchOrder(**{**ORDER, **change}))
    assert not Search.objects.exists()


def test_a_grid_has_no_more_trials_than_points(db: None) -> None:
    order = SearchOrder(**{**ORDER, "space": "epochs=1..3", "parameters": {}, "sampler": "grid", "trials": 20})
    assert create_search(order).trials_wanted == 3


def test_the_winner_goes_into_the_registry_without_learning_again(bench: Bench) -> None:
    out = io.StringIO()
    call_command(
        "train", "search", RECIPE, "--data", "digits", "--name", "sleepy", "--space", "learning_rate=log:1e-4..0.1",
        "--set", "epochs=2", "--trials", "2", "--parallel", "2", "--metric", "accuracy", stdout=out,
    )  # fmt: skip
    text = out.getvalue()
    assert text.count("complete  accuracy 0.66667") == 3, text  # the best once more
    assert "search-register" in text
    assert not ModelVersion.objects.exists()
    search = Search.objects.get()
    run = register_winner(search)
    run = bench.until_ended(run)
    assert (run.state, ModelVersion.objects.get().run_id) == (RunState.SUCCEEDED, run.pk), bench.log(run)
    assert bench.notes(run)[-1] == "resumed at 2"
    assert run.evaluation.metrics == {"accuracy": 0.9}
    with pytest.raises(ConflictError, match="registered already"):
        register_winner(search)


def test_the_command_lists_shows_and_cancels(search: Search) -> None:
    advance_search(search)
    learn(runs(search)[0], 0.4)
    advance_search(search)
    out = io.StringIO()
    call_command("train", "searches", stdout=out)
    assert f"{search.short_id}\trunning" in out.getvalue()
    out = io.StringIO()
    call_command("train", "search-show", search.short_id, "--json", stdout=out)
    record = json.loads(out.getvalue())
    assert (record["best_trial"], record["trials"][0]["value"], record["goal"]) == (0, 0.4, "min")
    call_command("train", "search-cancel", search.short_id, stdout=io.StringIO())
    search.refresh_from_db()
    assert search.state == SearchState.CANCELLED
    with pytest.raises(CommandError, match="no search"):
        call_command("train", "search-show", "0000")


def test_the_api_orders_shows_and_registers(train_api: APIClient) -> None:
    made = train_api.post("/api/training/searches/", {**ORDER, "trials": 1}, format="json")
    assert made.status_code == 201, made.json()
    search = Search.objects.get()
    assert search.requested_by == "ann"
    url = f"/api/training/searches/{search.short_id}/"
    assert train_api.post(f"{url}register/", {}, format="json").status_code == 409
    advance_search(search)
    learn(runs(search)[0], 0.4)
    advance_search(search)
    shown = train_api.get(url).json()
    assert (shown["state"], shown["best_trial"], shown["trials"][0]["state"]) == ("succeeded", 0, "complete")
    assert train_api.get("/api/training/searches/").json()["results"][0]["id"] == str(search.pk)
    assert train_api.post(f"{url}register/", {}, format="json").json()["id"] == str(runs(search)[0].pk)
    assert train_api.post(f"{url}resume/", {"trials": 2}, format="json").json()["state"] == "running"
    assert train_api.post(f"{url}cancel/").json()["state"] == "cancelled"
    assert train_api.post("/api/training/searches/", {**ORDER, "space": "x=1..2"}, format="json").status_code == 400


def test_the_page_draws_history_parameters_and_importance(search: Search, staff: Client) -> None:
    advance_search(search)
    for run in runs(search):
        learn(run, 0.4)
    advance_search(search)
    url = reverse("admin:training_search_change", args=[search.pk])
    page = staff.get(url).content.decode()
    for words in ("Best so far", "training-parallel", "learning_rate", "Cancel search", "trial 0"):
        assert words in page
    Search.objects.update(importances={"learning_rate": 1.0}, state=SearchState.SUCCEEDED)
    page = staff.get(url).content.decode()
    assert "Importance" in page
    assert "Register the winner" in page
    register = reverse("admin:training_search_register", args=[search.pk])
    assert b"Register the best trial" in staff.get(register).content
    assert staff.post(register, {"deploy_endpoint": ""}).status_code == 302
    assert Run.objects.filter(registers=True).count() == 1
    assert search.short_id in staff.get(reverse("admin:training_search_changelist")).content.decode()
