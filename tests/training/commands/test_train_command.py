"""`manage.py train`: what it orders, shows and returns."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from rich.console import Console

from aiplatform.errors import InvalidInputError
from training import services
from training.cli import exit_codes
from training.cli.arguments import absolute_data_uri
from training.cli.interrupt import Choice, ask_on_interrupt
from training.cli.views import PlainView, TerminalView
from training.models import EpochMetrics, ModelVersion, Run
from training.states import ExitClass, RunState

from ..conftest import Bench
from ..stand_in import RECIPE

pytestmark = pytest.mark.long

ORDER = ["train", "run", RECIPE, "--data", "digits", "--name", "sleepy"]


def _run(*arguments: str) -> tuple[int, list[str]]:
    out = io.StringIO()
    try:
        call_command(*arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def test_a_waited_run_needs_no_worker_and_writes_plain_lines(bench: Bench) -> None:
    code, lines = _run(*ORDER, "--seed", "5", "--set", "epochs=2", "step_s=0.01")
    assert code == 0
    assert any(line.startswith("epoch 2/2  loss 0.5000") for line in lines), lines
    assert "succeeded" in lines[-1]
    assert "sleepy version 1" in lines[-1]
    run = Run.objects.get()
    assert (run.seed, run.parameters["epochs"], run.state) == (5, 2, RunState.SUCCEEDED)


def test_workers_are_a_parameter_with_an_option_of_its_own(bench: Bench) -> None:
    code, _ = _run(*ORDER, "--workers", "3", "--set", "epochs=1")
    assert (code, Run.objects.get().parameters["workers"]) == (0, 3)
    with pytest.raises(CommandError, match="say the same"):
        _run(*ORDER, "--workers", "3", "--set", "workers=3")
    with pytest.raises(CommandError, match="'workers' must be at least 1, not 0"):
        _run(*ORDER, "--workers", "0")


def test_json_is_one_object_a_line_from_queued_to_end(bench: Bench) -> None:
    code, lines = _run(*ORDER, "--set", "epochs=1", "--json")
    records = [json.loads(line) for line in lines]
    assert code == 0
    assert records[0]["event"] == "queued"
    assert [r["metrics"]["loss"] for r in records if r["event"] == "epoch"] == [1.0]
    assert (records[-1]["event"], records[-1]["state"], records[-1]["version"]) == ("end", "succeeded", 1)


def test_a_failed_run_has_exit_code_1_and_says_why(bench: Bench) -> None:
    code, lines = _run(*ORDER, "--set", "epochs=1", "fault=raise")
    assert code == exit_codes.FAILED
    assert "ValueError: the data has 3 columns" in "\n".join(lines)


def test_a_deployment_that_is_not_taken_has_its_own_exit_code(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.cli.waiting.DEPLOY_PATIENCE_S", 2.0)
    code, lines = _run(*ORDER, "--set", "epochs=1", "--deploy")
    run = Run.objects.get()
    assert code == exit_codes.NOT_DEPLOYED
    assert (run.state, run.deploy_endpoint, run.deploy_state) == (RunState.SUCCEEDED, "sleepy", "pending")
    assert "cannot be reached" in run.deploy_error
    assert "not deployed to 'sleepy' yet" in "\n".join(lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "run", "nope", "--data", "digits", "--name", "x"], "no recipe is named 'nope'"),
        ([*ORDER, "--set", "epoch=1"], "did you mean 'epochs'"),
        ([*ORDER, "--set", "epochs=many"], "must be of type int, not 'many'"),
        ([*ORDER, "--set", "epochs"], "key=value"),
        (["train", "run", RECIPE, "--data", "digits", "--name", "No Name"], "model name must be"),
        ([*ORDER, "--seed", "-1"], "seed must be"),
        (["train", "show", "zz"], "a run's id"),
        ([*ORDER, "--cpus", "5000"], "it asks for 5000 cores, and the largest machine has"),
        ([*ORDER, "--memory", "lots"], "as in 512M or 3.5G, not 'lots'"),
        ([*ORDER, "--priority", "101"], "priority must be from -100 to 100, not 101"),
    ],
)
def test_a_wrong_order_is_refused_before_anything_is_queued(bench: Bench, arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words) as caught:
        call_command(*arguments)
    assert caught.value.returncode == exit_codes.USAGE
    assert not Run.objects.exists()


def test_a_detached_run_is_queued_listed_shown_cancelled_and_resumed(bench: Bench) -> None:
    code, lines = _run(*ORDER, "--detach")
    run = Run.objects.get()
    assert (code, run.state) == (0, RunState.QUEUED)
    assert run.short_id in lines[0]
    assert run.short_id in _run("train", "list", "--state", "queued")[1][1]
    assert json.loads(_run("train", "show", run.short_id, "--json")[1][0])["state"] == "queued"
    assert "is cancelled" in _run("train", "cancel", run.short_id)[1][0]
    assert _run("train", "resume", run.short_id)[0] == 0
    assert bench.fresh(run).state == RunState.SUCCEEDED


def test_a_waiting_run_tells_in_each_command_for_what_it_waits(bench: Bench) -> None:
    bench.limit(TRAINING_SLOTS=1)
    first = bench.start(epochs=1000, step_s=0.05)
    _run(*ORDER, "--detach", "--cpus", "1", "--memory", "512M", "--priority", "-3")
    run = Run.objects.latest("created_at")
    assert (run.cores, run.memory_bytes, run.priority) == (1.0, 512 * 2**20, -3)
    reason = f"run {first.short_id} holds"
    shown = "\n".join(_run("train", "show", run.short_id)[1])
    assert "1 cores, 512 MiB of memory, priority -3" in shown
    assert reason in shown
    assert reason in "\n".join(_run("train", "list")[1])
    lines = _run("resources")[1]
    assert "0 of" in lines[0]
    assert any(f"run {first.short_id}" in line for line in lines[1:-1])
    assert reason in lines[-1]
    record = json.loads(_run("resources", "--json")[1][0])
    assert record["waiting"][0]["run"] == str(run.pk)
    _, lines = _run("train", "clone", run.short_id, "--detach", "--json", "--cpus", "0.5")
    clone = Run.objects.latest("created_at")
    assert (clone.cores, clone.memory_bytes, clone.priority) == (0.5, 512 * 2**20, -3)


def test_following_the_log_ends_with_the_run(bench: Bench) -> None:
    run = bench.start(epochs=2, step_s=0.03)
    _, lines = _run("train", "logs", run.short_id, "--follow")
    assert any("epoch 2/2" in line for line in lines), lines
    _, tail = _run("train", "logs", run.short_id, "--lines", "1")
    assert len(tail) == 1


def test_a_run_cancelled_while_it_is_waited_for_has_exit_code_3(bench: Bench) -> None:
    process = _command([*ORDER, "--set", "epochs=1000", "step_s=0.02"])
    run = _first_epoch(bench)
    services.cancel_run(run)
    out, _ = process.communicate(timeout=40)
    assert process.returncode == exit_codes.CANCELLED, out
    assert "was cancelled" in out


def test_ctrl_c_without_a_terminal_leaves_the_run_alone(bench: Bench) -> None:
    process = _command([*ORDER, "--set", "epochs=8", "step_s=0.05"])
    run = _first_epoch(bench)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == exit_codes.INTERRUPTED, out + err
    assert "goes on" in err
    assert bench.until_ended(run).state == RunState.SUCCEEDED
    assert bench.fresh(run).attempt == 1


@pytest.mark.parametrize(
    ("answer", "choice"), [("c\n", Choice.CANCEL), ("d\n", Choice.DETACH), ("w\n", Choice.WAIT), ("", Choice.DETACH)]
)
def test_ctrl_c_in_a_terminal_asks(answer: str, choice: Choice) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = io.StringIO()
    assert ask_on_interrupt(out, Terminal(answer)) is choice
    assert "[d]etach" in out.getvalue()


def test_a_second_ctrl_c_detaches() -> None:
    class Impatient(io.StringIO):
        def isatty(self) -> bool:
            return True

        def readline(self, *_: Any) -> str:  # type: ignore[override]
            raise KeyboardInterrupt

    assert ask_on_interrupt(io.StringIO(), Impatient()) is Choice.DETACH


@pytest.mark.parametrize(
    ("exit_class", "code"),
    [
        (ExitClass.FAILED, 1), (ExitClass.CANCELLED, 3), (ExitClass.LOST, 4), (ExitClass.STALLED, 4),
        (ExitClass.TIMED_OUT, 4), (ExitClass.OUT_OF_MEMORY, 5),
    ],
)  # fmt: skip
def test_each_end_has_its_exit_code(exit_class: ExitClass, code: int) -> None:
    assert exit_codes.exit_code_of(Run(state=RunState.FAILED, exit_class=exit_class)) == code


def test_a_local_path_is_made_absolute_and_a_name_is_not(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").touch()
    assert absolute_data_uri("mine.csv") == str(tmp_path / "mine.csv")
    assert absolute_data_uri("digits") == "digits"
    assert absolute_data_uri("s3://bucket/x") == "s3://bucket/x"


def test_models_are_listed_shown_aliased_and_exported(bench: Bench) -> None:
    run = bench.until_ended(bench.start(epochs=1))
    assert run.state == RunState.SUCCEEDED, bench.log(run)
    assert _run("models", "list")[1][1].startswith("sleepy\t1\t-")
    assert _run("models", "alias", "sleepy", "champion", "latest")[1] == ["sleepy: champion is latest now"]
    assert _run("models", "list", "sleepy")[1][1].startswith("1\tchampion\tnone")
    shown = json.loads(_run("models", "show", "sleepy", "champion", "--json")[1][0])
    assert shown["lineage"]["run_id"] == str(run.pk)
    target = bench.folder / "taken"
    _run("models", "export", "sleepy", "--to", str(target))
    assert (target / "manifest.json").exists()
    assert ModelVersion.objects.get().aliases.count() == 1


def _command(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments], cwd=settings.BASE_DIR, env=dict(os.environ), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_hear_ctrl_c,
    )  # fmt: skip


def _hear_ctrl_c() -> None:
    # Tests started in the background inherit an ignored SIGINT; a command in a terminal does not.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _first_epoch(bench: Bench) -> Run:
    deadline_s = time.monotonic() + 40
    while (run := Run.objects.first()) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return bench.until_epoch(run, 1)


def test_a_terminal_shows_each_phase_in_full(bench: Bench) -> None:
    out = io.StringIO()
    view = TerminalView(Console(file=out, force_terminal=True, width=120))
    run = bench.start(epochs=1)
    run.progress = {"phase": "publishing", "epochs": 1, "epoch": 1, "step": 1, "steps": 1}
    view.update(run)
    view.close()
    assert "writing the model" in out.getvalue()


def test_a_resumed_run_that_waits_says_how_many_epochs_it_has() -> None:
    out = io.StringIO()
    epoch = EpochMetrics(epoch=2, values={"loss": 0.5})
    PlainView(out).end_epoch(Run(parameters={"epochs": 60}, progress={}), epoch)
    assert out.getvalue().startswith("epoch 2/60 ")


def test_a_path_that_is_not_there_is_refused_at_the_order(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.csv").touch()
    with pytest.raises(InvalidInputError, match=f"'gone.csv' is not in {tmp_path}"):
        absolute_data_uri("all:here.csv|gone.csv?split=ordered")
    with pytest.raises(InvalidInputError, match=r"there is no '/gone/a.csv' on this machine"):
        absolute_data_uri("/gone/a.csv")
    with pytest.raises(InvalidInputError, match=r"there is no 'file:///gone/a.csv' on this machine"):
        absolute_data_uri("file:///gone/a.csv")
    assert absolute_data_uri(f"file://{tmp_path}/here.csv") == f"file://{tmp_path}/here.csv"
    assert absolute_data_uri("gone.csv", may_come=True) == f"{tmp_path}/gone.csv"  # of a schedule that waits for it


def test_an_absolute_path_may_be_on_another_machine_that_trains(settings: Any) -> None:
    settings.TRAINING_LAUNCHER = "kubernetes"
    assert absolute_data_uri("/mnt/data/a.csv?split=ordered") == "/mnt/data/a.csv?split=ordered"
    with pytest.raises(InvalidInputError, match=r"'data/a.csv' is not in"):
        absolute_data_uri("data/a.csv")
