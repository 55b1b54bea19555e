"""Real processes over a real SQLite file: what a promise about crashes needs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import Client
from rest_framework.test import APIClient

from aiplatform.http.authentication import IdentityUser
from aiplatform.identity import Identity, Scope
from training import doorbell, processes, selectors, supervision
from training.launchers import get_launcher
from training.models import Run
from training.resources.granting import decide_queue
from training.resources.hosts import register_host
from training.services import RunOrder, create_run
from training.states import ACTIVE_STATES

from .stand_in import RECIPE

NOBODY = "http://127.0.0.1:9"  # where nobody listens

LIMITS = {
    "TRAINING_LEASE_S": 20.0,
    "TRAINING_WALL_CLOCK_S": 600.0,
    "TRAINING_STALL_S": 600.0,
    "TRAINING_STOP_GRACE_S": 3.0,
    "TRAINING_RING_AGAIN_S": 0.2,
    "TRAINING_ATTEMPTS": 3,
    "TRAINING_SLOTS": 4,
}


@contextlib.contextmanager
def database_file(path: Path) -> Iterator[None]:
    """Have every thread of this process use a SQLite file, whatever database the session has."""
    known = connections.databases["default"]
    before, kept = known["NAME"], connections["default"]
    del connections["default"]
    known["NAME"] = str(path)
    try:
        yield
    finally:
        connections["default"].close()
        known["NAME"] = before
        connections["default"] = kept


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Path:
    """Return a SQLite file with this app's and the queue's tables."""
    path = tmp_path_factory.mktemp("database") / "template.sqlite3"
    with django_db_blocker.unblock(), database_file(path):
        for app in ("training", "django_q"):
            call_command("migrate", app, verbosity=0)
        with connections["default"].cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    """Return a browser in which someone is logged in who may do everything."""
    client.force_login(get_user_model().objects.create_superuser("ann", password="secret"))
    return client


@pytest.fixture
def train_api(db: None) -> APIClient:
    """Return a client of the REST API with the scope 'train'."""
    api = APIClient()
    identity = Identity(username="ann", scopes=frozenset({Scope.TRAIN}))
    api.force_authenticate(user=IdentityUser(identity), token=identity)  # type: ignore[arg-type]
    return api


class Bench:
    """Makes runs and plays the clock, as a waiting command does."""

    def __init__(self, folder: Path, settings: Any, environment: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.settings = settings
        self._environment = environment

    def limit(self, **limits: float | str) -> None:
        """Set limits here and in the processes that are started."""
        for name, value in limits.items():
            setattr(self.settings, name, value)
            self._environment.setenv(name, str(value))

    def create(self, **parameters: Any) -> Run:
        """Queue a run of the stand-in."""
        more: dict[str, Any] = {
            name: parameters.pop(name) for name in ("deploy_endpoint", "seed", "model_name") if name in parameters
        }
        order: dict[str, Any] = {"recipe": RECIPE, "data_uri": "digits", "model_name": "sleepy", **more}
        return create_run(RunOrder(parameters={"epochs": 3, **parameters}, **order))

    def start(self, **parameters: Any) -> Run:
        """Queue a run and answer its doorbell here."""
        run = self.create(**parameters)
        doorbell.answer(str(run.pk))
        return self.fresh(run)

    def fresh(self, run: Run) -> Run:
        """Read a run again."""
        return Run.objects.get(pk=run.pk)

    def ring_waiting(self) -> None:
        """Ring for those who wait, as supervision does."""
        register_host(get_launcher())
        supervision.ring_waiting(decide_queue())

    def until(self, run: Run, is_so: Callable[[Run], bool], *, timeout_s: float = 25, supervised: bool = True) -> Run:
        """Supervise until something is so of a run."""
        deadline_s = time.monotonic() + timeout_s
        while not is_so(run := self.fresh(run)):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{run.state} {run.exit_message} {run.progress}\n{self.log(run)}")
            if supervised:
                supervision.supervise()
                doorbell.answer(str(run.pk))
            time.sleep(0.05)
        return run

    def until_ended(self, run: Run, **options: Any) -> Run:
        """Supervise until a run has ended."""
        return self.until(run, lambda r: r.is_ended, **options)

    def until_epoch(self, run: Run, epoch: int) -> Run:
        """Wait until a checkpoint of that epoch is there."""
        return self.until(run, lambda r: self.checkpoint(r) >= epoch, supervised=False)

    def checkpoint(self, run: Run) -> int:
        """Return the epoch of the last checkpoint."""
        path = self.work(run) / "checkpoint"
        return int(path.read_text()) if path.exists() else 0

    def kill(self, run: Run, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the run's trainer."""
        assert run.pid is not None
        os.kill(run.pid, number)

    def work(self, run: Run) -> Path:
        """Return the folder in which the recipe works."""
        return Path(self.settings.TRAINING_DIR) / str(run.pk) / "work"

    def log(self, run: Run) -> str:
        """Return the run's log."""
        path = Path(self.settings.TRAINING_DIR) / str(run.pk) / "log.txt"
        return path.read_text() if path.exists() else "(no log)"

    def notes(self, run: Run) -> list[str]:
        """Return where each attempt went on."""
        return (self.work(run) / "notes.txt").read_text().splitlines()


@pytest.fixture
def bench(
    tmp_path: Path, migrated_file: Path, django_db_blocker: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Give a place of its own to a test: database, folders, limits, the same for its child processes."""
    path = tmp_path / "db.sqlite3"
    shutil.copy(migrated_file, path)
    folders = {
        "TRAINING_DIR": tmp_path / "runs",
        "ARTIFACT_STORE": f"file://{tmp_path}/artifacts",
        "ARTIFACT_CACHE_DIR": tmp_path / "artifact-cache",
    }
    given: dict[str, Any] = {**folders, **LIMITS}
    for name, value in given.items():
        setattr(settings, name, value)
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.training.process_settings")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("AIPLATFORM_ROLES", "training")
    monkeypatch.setenv("INFERENCE_URL", NOBODY)
    settings.SERVICE_URLS = {**settings.SERVICE_URLS, "inference": NOBODY}  # this process supervises too
    with django_db_blocker.unblock(), database_file(path):
        yield Bench(tmp_path, settings, monkeypatch)
        _kill_leftovers()


def _kill_leftovers() -> None:
    for run in selectors.list_active_runs():
        if run.pid:
            processes.signal_session(run.pid, run.process_started, signal.SIGKILL, leader_only=False)
    Run.objects.filter(state__in=ACTIVE_STATES).update(state="failed")
