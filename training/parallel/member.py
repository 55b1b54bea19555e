"""A member of a team: `python -m training.parallel.member`, started by the trainer that leads it.

It reads an order and then commands, a line each. When its input closes, the leader is gone, and so is it: a thread
reads, because the main one may be waiting for the others in the middle of a step.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, cast

import numpy as np

from aiplatform.errors import PlatformError
from training.data.cache import DataCache
from training.data.dataset import Dataset
from training.parallel.messages import END, Command, Load, MemberOrder, Step, decode_command, decode_order
from training.parallel.place import this_place, worker_folder
from training.processes import prefer_for_oom_kill
from training.recipes.api import TrainingOrder
from training.recipes.recipe import SharingLearner
from training.recipes.registry import load_recipe, resolve_parameters

LEADER_GONE = 0
REFUSED = 3


def main(source: IO[bytes]) -> int:
    """Do what the leader says until it says that it is over; return the exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the leader decides when to stop, at the end of a step
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prefer_for_oom_kill()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    first = source.readline()
    if not first:
        return LEADER_GONE
    commands = read_commands(source, leave=lambda: os._exit(LEADER_GONE))
    try:
        learner, data = come_up(decode_order(first))
        follow(learner, data, commands)
    except PlatformError as error:
        print(f"worker {this_place().rank}: {error}", file=sys.stderr, flush=True)  # noqa: T201 (the run's log)
        return REFUSED
    return 0


def read_commands(source: IO[bytes], *, leave: Callable[[], None]) -> Iterator[Command]:
    """Return the commands as they come, until the end; `leave` is called when the leader is gone without an end."""
    waiting: SimpleQueue[Command] = SimpleQueue()

    def read() -> None:
        for line in source:
            command = decode_command(line)
            waiting.put(command)
            if command == END:
                return
        leave()

    Thread(target=read, name="commands", daemon=True).start()  # now: the leader may go while the data is loaded
    return iter(waiting.get, END)


def come_up(order: MemberOrder) -> tuple[SharingLearner, Dataset]:
    """Load the data and build the learner, which takes its place in the team."""
    recipe = load_recipe(order.recipe)
    parameters = recipe.Parameters(**resolve_parameters(order.recipe, order.parameters))
    scratch = worker_folder(Path(order.work_dir), this_place().rank)
    cache = DataCache(folder=Path(order.cache_dir), limit_bytes=order.cache_bytes) if order.cache_dir else None
    own = TrainingOrder(
        recipe=order.recipe, parameters=order.parameters, data_uri=order.data_uri, target=order.target,
        seed=order.seed, work_dir=scratch, cache=cache, expected=order.expected, memory_bytes=order.memory_bytes,
        databases=order.databases,
    )  # fmt: skip
    data = recipe.load_data(own, parameters)
    learner = recipe.build_learner(data.description, parameters, order.seed)
    return cast("SharingLearner", learner), data  # the leader has asked for `can_share`


def follow(learner: SharingLearner, data: Dataset, commands: Iterator[Command]) -> None:
    """Do each command."""
    for command in commands:
        if isinstance(command, Step):
            if command.rate is not None:
                learner.set_learning_rate(command.rate)
            inputs, labels = data.train.rows(np.array(command.rows, dtype=np.int64))
            learner.train_batch(inputs, labels, rows=command.of)
        elif isinstance(command, Load):
            learner.load_state(Path(command.path))
            learner.reseed(command.seed)


if __name__ == "__main__":
    code = main(sys.stdin.buffer)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an engine's threads must not hold up a process whose work is done
