"""A trainer that comes up while `train run` is still making its order, so that the first step comes sooner.

`manage.py` starts it before anything else: the command and the trainer load Django on two cores at the same time,
and the trainer goes on with the recipe's framework. Once the run is claimed by this command it is told which it is, and
is an ordinary trainer from there on: a fresh process in a session of its own. If a queue may answer, or anything binds
the run to what must be known before a framework is loaded, it is let go, or begins anew in the same process.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from training.environment import inherited_environment

READY = "--ready"  # the trainer's first argument, the recipe its second
PATIENCE_S = 60.0  # without a word from the command
_PR_SET_PDEATHSIG = 1
_PROJECT = Path(__file__).resolve().parents[1]


class ReadyTrainer:
    """The command's side of one."""

    def __init__(self, recipe: str, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "training.trainer", READY, recipe],
            cwd=_PROJECT, env=dict(environment), start_new_session=True, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._pipe: Any = self.process.stdin
        self.run_id: UUID | None = None  # of the run that it is kept for

    def tell(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> bool:
        """Have it train; False if it has ended, and another must be started."""
        line = json.dumps({"arguments": list(arguments), "environment": dict(environment), "log": str(log)})
        has_ended = self.process.poll() is not None
        try:
            if not has_ended:
                self._pipe.write(line.encode() + b"\n")
        except OSError:
            has_ended = True
        self._pipe.close()
        return not has_ended

    def end(self) -> None:
        """Let it go: nothing of it is needed."""
        self._pipe.close()
        self.process.kill()
        self.process.wait()


_ready: ReadyTrainer | None = None


def begin(argv: Sequence[str]) -> None:
    """Start one if a command line will want it: `manage.py train run RECIPE ...` that waits for its run."""
    global _ready  # a process has one at most
    is_wanted = list(argv[1:3]) == ["train", "run"] and len(argv) > 3 and not argv[3].startswith("-")
    if is_wanted and not {"--detach", "-h", "--help"} & set(argv):
        with contextlib.suppress(OSError):
            _ready = ReadyTrainer(argv[3], inherited_environment())


def keep_for(run_id: UUID) -> None:
    """Keep what is ready for this run alone."""
    if _ready is not None:
        _ready.run_id = run_id


def let_go() -> None:
    """End what is ready and was not told anything."""
    global _ready
    ready, _ready = _ready, None
    if ready is not None:
        ready.end()


def take(run_id: UUID) -> ReadyTrainer | None:
    """Return what is ready for a run; it is nobody else's from then on."""
    global _ready
    if _ready is None or _ready.run_id != run_id:
        return None
    ready, _ready = _ready, None
    return ready


# --- the trainer's side ----------------------------------------------------------------------------


def wait_for_order(recipe: str) -> list[str] | None:
    """Load what every run of a recipe needs, and wait; return the arguments of the run, or None if there is none.

    It ends with the command as long as it was told nothing. It comes back with Django set up, or not at all: where the
    order does not suit what is loaded, the process begins anew with it.
    """
    _end_with_parent(signal.SIGKILL)
    import django

    django.setup()
    _load_framework(recipe)
    line = _read_line()
    if not line:
        return None
    told = json.loads(line)
    _end_with_parent(0)
    _take_streams(told["log"])
    if not _suits(told["environment"]):
        command = [sys.executable, "-m", "training.trainer", *told["arguments"]]
        os.execve(sys.executable, command, told["environment"])  # noqa: S606  (no shell is wanted)
    os.environ.clear()
    os.environ.update(told["environment"])
    arguments: list[str] = told["arguments"]
    return arguments


def _load_framework(recipe: str) -> None:
    from django.conf import settings

    from training.recipes.keras_backends import TENSORFLOW, import_keras
    from training.recipes.registry import get_recipe

    importlib.import_module("training.attempt")
    if settings.TRAINING_KERAS_BACKEND != TENSORFLOW:
        return
    with contextlib.suppress(Exception):  # the run says what is wrong with it
        framework = get_recipe(recipe).framework
        if framework == TENSORFLOW:
            import_keras(TENSORFLOW)
        elif framework == "torch":
            importlib.import_module("torch")


def _suits(environment: Mapping[str, str]) -> bool:
    """Say whether what is loaded is what would be loaded with an environment: same roles, cores and devices."""
    from django.conf import settings

    from aiplatform.roles import parse_roles
    from training.launchers.base import CPUS_VARIABLE
    from training.launchers.limits import LIMITS_VARIABLE
    from training.parallel.place import THREADS

    binding = (*THREADS, CPUS_VARIABLE, LIMITS_VARIABLE, "CUDA_VISIBLE_DEVICES")
    same_roles = parse_roles(environment["AIPLATFORM_ROLES"]) == settings.ROLES
    return same_roles and all(environment.get(name) == os.environ.get(name) for name in binding)


def _read_line() -> bytes:
    readable, _, _ = select.select([0], [], [], PATIENCE_S)
    with os.fdopen(0, "rb", closefd=False) as stream:
        return stream.readline() if readable else b""


def _take_streams(log: str) -> None:
    with Path(os.devnull).open("rb") as nothing, Path(log).open("ab") as file:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _end_with_parent(number: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
