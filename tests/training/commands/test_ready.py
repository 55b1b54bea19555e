"""`train run` has a trainer come up beside it; what becomes of that one, whatever becomes of the command."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from training import doorbell, ready, services
from training.environment import inherited_environment
from training.ready import ReadyTrainer
from training.states import RunState

from ..conftest import Bench
from ..stand_in import RECIPE
from .test_train_command import ORDER, _command, _first_epoch

pytestmark = pytest.mark.timeout(300)
RUN = ["manage.py", "train", "run", RECIPE, "--data", "digits", "--name", "sleepy"]


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    ready.let_go()


def test_only_a_command_that_waits_for_its_run_has_one_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    class Noted:
        def __init__(self, recipe: str, environment: dict[str, str]) -> None:
            begun.append(recipe)

        def end(self) -> None:
            """Have nothing to end."""

    monkeypatch.setattr(ready, "ReadyTrainer", Noted)
    ready.begin(RUN)
    for argv in ([*RUN, "--detach"], [*RUN, "--help"], RUN[:3], ["manage.py", "train", "list"], ["manage.py"]):
        ready.begin(argv)
    assert begun == [RECIPE]


def test_it_is_kept_for_one_run_and_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: Any = type("Kept", (), {"run_id": None, "end": lambda self: None})()
    monkeypatch.setattr(ready, "_ready", kept)
    run_id = uuid.uuid4()
    assert ready.take(run_id) is None, "for nobody yet"
    ready.keep_for(run_id)
    assert ready.take(uuid.uuid4()) is None
    assert ready.take(run_id) is kept
    assert ready.take(run_id) is None


def test_a_run_is_trained_by_the_process_that_was_ready(bench: Bench) -> None:
    bench.limit(TRAINING_SLOTS=1)  # a run may have all cores
    process = _command([*ORDER, "--set", "epochs=1000", "step_s=0.02"])
    run = _first_epoch(bench)
    run.refresh_from_db()
    words = Path(f"/proc/{run.pid}/cmdline").read_bytes().split(b"\0")
    services.cancel_run(run)
    out, _ = process.communicate(timeout=60)
    assert words[-4:-1] == [b"training.trainer", ready.READY.encode(), RECIPE.encode()], out + bench.log(run)


@pytest.mark.machine
def test_one_that_is_bound_to_a_core_begins_anew_in_the_same_process(bench: Bench) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core: a run of one core is bound to nothing")
    process = _command([*ORDER, "--cpus", "1", "--set", "epochs=1000", "step_s=0.02"])
    run = _first_epoch(bench)
    run.refresh_from_db()
    words = Path(f"/proc/{run.pid}/cmdline").read_bytes().split(b"\0")
    bound = os.sched_getaffinity(run.pid or 0)
    services.cancel_run(run)
    process.communicate(timeout=60)
    assert words[-4:-2] == [b"training.trainer", str(run.pk).encode()]
    assert len(bound) == 1


def test_without_a_word_it_ends_with_the_command_and_leaves_nothing() -> None:
    waiting = ReadyTrainer(RECIPE, inherited_environment())
    waiting._pipe.close()
    assert waiting.process.wait(timeout=120) == 0


def test_a_ready_one_that_has_died_is_replaced_by_a_new_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    dead: Any = ReadyTrainer(RECIPE, inherited_environment())
    dead.end()
    run = bench.create(epochs=1)
    monkeypatch.setattr(ready, "_ready", dead)
    ready.keep_for(run.pk)
    doorbell.answer(str(run.pk))
    assert bench.until_ended(run).state == RunState.SUCCEEDED
