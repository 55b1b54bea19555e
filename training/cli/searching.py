"""Searches on the command line: their arguments, tables and records, and the wait for one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TextIO

from django.conf import settings
from django.core.management.base import CommandParser

from aiplatform.roles import TRAINING
from training import doorbell, selectors, supervision
from training.cli.resources import add_resources
from training.cli.tables import write_fields, write_table
from training.cli.texts import age_text
from training.cli.waiting import POLL_S
from training.models import Search, Trial
from training.searching.choosing import PRUNERS, SAMPLERS
from training.states import RunState, SearchState, TrialState

_ID_HELP = "a search's id, or its first characters"


def add_search_subcommands(commands: Any, add_settings: Callable[[CommandParser], None]) -> None:
    """Declare `search` and what is done with searches."""
    search = commands.add_parser("search", help="search for good parameters of a recipe")
    search.add_argument("recipe")
    search.add_argument("--data", required=True)
    search.add_argument("--name", required=True, help="the model's name, for the winner")
    search.add_argument("--space", required=True, help="name=[log:|int:]low..high or name=a|b, separated by commas")
    search.add_argument("--target", default="")
    search.add_argument("--seed", type=int, default=0)
    add_settings(search)
    search.add_argument("--trials", type=int, default=20)
    search.add_argument("--parallel", type=int, default=1, help="trials at once, as far as there is room")
    add_resources(search)
    search.add_argument("--sampler", choices=SAMPLERS, default="tpe")
    search.add_argument("--pruner", choices=PRUNERS, default="median")
    search.add_argument("--metric", default="val_loss", help="metric of the epochs that judges")
    search.add_argument("--goal", choices=("min", "max"), default="", help="by default what the metric's name says")
    search.add_argument("--detach", action="store_false", dest="wait", help="return at once; the clock goes on with it")
    listing = commands.add_parser("searches", help="list searches, newest first")
    listing.add_argument("--limit", type=int, default=20)
    for name, text in (("search-show", "show a search"), ("search-cancel", "end a search and its trials")):
        commands.add_parser(name, help=text).add_argument("search", help=_ID_HELP)
    resume = commands.add_parser("search-resume", help="go on with a search that has ended")
    resume.add_argument("search", help=_ID_HELP)
    resume.add_argument("--trials", type=int, help="trials altogether; by default as before")
    resume.add_argument("--detach", action="store_false", dest="wait")
    register = commands.add_parser("search-register", help="register the model of the best trial")
    register.add_argument("search", help=_ID_HELP)
    register.add_argument("--deploy", default="", metavar="ENDPOINT")
    register.add_argument("--detach", action="store_false", dest="wait")


class SearchWaiter:
    """Follows a search to its end, and does the queue's and the clock's work if nobody else does."""

    def __init__(self, search: Search, tell: Callable[[Trial], None]) -> None:
        self._search, self._tell = search, tell
        self._told: set[int] = set()
        self._supervised_s = float("-inf")

    def wait(self) -> Search:
        """Return the search when it has ended."""
        while True:
            self._search.refresh_from_db()
            self._tell_new()
            if self._search.state != SearchState.RUNNING:
                return self._search
            if TRAINING in settings.ROLES:
                self._help()
            time.sleep(POLL_S)

    def _tell_new(self) -> None:
        for trial in self._search.trials.exclude(state=TrialState.RUNNING).select_related("run"):
            if trial.number not in self._told:
                self._told.add(trial.number)
                self._tell(trial)

    def _help(self) -> None:
        if time.monotonic() - self._supervised_s >= min(1.0, settings.TRAINING_SUPERVISE_S):
            self._supervised_s = time.monotonic()
            supervision.supervise()
            queued = self._search.trials.filter(state=TrialState.RUNNING, run__state=RunState.QUEUED)
            for run_id in queued.values_list("run_id", flat=True):
                doorbell.answer(str(run_id))


def trial_line(search: Search, trial: Trial) -> str:
    """Return a trial on one line."""
    values = "  ".join(f"{name}={_text(value)}" for name, value in trial.values.items())
    reached = f"{search.metric} {trial.value:.5g}" if trial.value is not None else "-"
    run = trial.run.short_id if trial.run else "-"
    return f"trial {trial.number}  {trial.get_state_display().lower()}  {reached}  {values}  run {run}"


def end_line(search: Search) -> str:
    """Return how a search ended, and what to do next."""
    best = selectors.best_trial(search)
    if search.state == SearchState.FAILED or best is None:
        return f"search {search.short_id} {search.get_state_display().lower()}: {search.message or 'no complete trial'}"
    return (
        f"search {search.short_id} {search.get_state_display().lower()}; the best is {trial_line(search, best)}\n"
        f"register its model with: manage.py train search-register {search.short_id}"
    )


def write_searches(out: TextIO, searches: list[Search]) -> None:
    """Write searches as a table."""
    rows = []
    for search in searches:
        best = selectors.best_trial(search)
        reached = f"{best.value:.5g}" if best is not None else "-"
        trials = f"{search.trials.count()}/{search.trials_wanted}"
        rows.append(
            (search.short_id, search.state, search.recipe, search.model_name, trials, search.metric, reached,
             age_text(search.created_at))
        )  # fmt: skip
    write_table(out, ("SEARCH", "STATE", "RECIPE", "MODEL", "TRIALS", "METRIC", "BEST", "CREATED"), rows)


def write_search(out: TextIO, search: Search) -> None:
    """Write a search with all its trials."""
    record = search_record(search)
    skipped = ("trials", "space", "parameters", "importances", "resources")
    write_fields(out, [(name, value) for name, value in record.items() if name not in skipped])
    write_fields(out, [(f"each trial asks for {name}", amount) for name, amount in record["resources"].items()])
    write_fields(out, [(f"importance of {name}", share) for name, share in search.importances.items()])
    for trial in search.trials.select_related("run"):
        out.write(trial_line(search, trial) + "\n")


def search_record(search: Search) -> dict[str, Any]:
    """Return a search with its trials for `--json` and the REST API."""
    best = selectors.best_trial(search)
    return {
        "id": str(search.pk),
        "short_id": search.short_id,
        "state": search.state,
        "message": search.message,
        "recipe": search.recipe,
        "parameters": search.parameters,
        "data_uri": search.data_uri,
        "target": search.target,
        "model_name": search.model_name,
        "seed": search.seed,
        "requested_by": search.requested_by,
        "space": search.space,
        "metric": search.metric,
        "goal": "min" if search.is_minimized else "max",
        "sampler": search.sampler,
        "pruner": search.pruner,
        "trials_wanted": search.trials_wanted,
        "parallel": search.parallel,
        "resources": {name: amount for name, amount in search.resources.items() if amount},
        "best_trial": best.number if best else None,
        "importances": search.importances,
        "created_at": search.created_at,
        "ended_at": search.ended_at,
        "trials": [trial_record(trial) for trial in search.trials.all()],
    }


def trial_record(trial: Trial) -> dict[str, Any]:
    """Return a trial as plain values."""
    return {
        "number": trial.number,
        "values": trial.values,
        "state": trial.state,
        "value": trial.value,
        "run": str(trial.run_id) if trial.run_id else None,
    }


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
