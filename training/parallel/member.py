"""A member of a team: `python -m training.parallel.member`, started by the trainer that leads it.

It reads an order and then commands, a line each. When its input closes, the leader is gone, and so is it: a thread
reads, because the main one may be waiting for the others in the middle of a step.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, cast

import numpy as np

from aiplatform.errors import PlatformError
from training.data.cache import DataCache
from training.data.dataset import IMAGE, Dataset
from training.parallel.messages import END, Command, Load, MemberOrder, Step, decode_command, decode_order
from training.parallel.place import this_place, worker_folder
from training.processes import prefer_for_oom_kill
from training.recipes.api import TrainingOrder
from training.recipes.augmentation import Augmentation, parse_augmentation
from training.recipes.keras_backends import BACKEND, keras_on
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
        member = come_up(decode_order(first))
        member.follow(commands)
    except PlatformError as error:
        print(f"worker {this_place().rank}: {error}", file=sys.stderr, flush=True)  # noqa: T201 (the run's log)
        return REFUSED
    return 0


def read_commands(source: IO[bytes], *, leave: Callable[[], None]) -> Iterator[Command]:
    """Return the commands as they come, until the end; `leave` is called when the leader is gone without an end."""
    waiting: SimpleQueue[Command] = SimpleQueue()

    def read() -> None:
        with contextlib.suppress(OSError):  # of a connection that is cut, or silent for too long
            for line in source:
                command = decode_command(line)
                waiting.put(command)
                if command == END:
                    return
        leave()

    Thread(target=read, name="commands", daemon=True).start()  # now: the leader may go while the data is loaded
    return iter(waiting.get, END)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A learner in its place in a team, with the data that it learns from."""

    learner: SharingLearner
    data: Dataset
    augmentation: Augmentation | None
    seed: int
    rank: int

    def follow(self, commands: Iterator[Command]) -> None:
        """Do each command until the leader says that it is over, and part from the others in good order."""
        for command in commands:
            if isinstance(command, Step):
                self._learn(command)
            elif isinstance(command, Load):
                self.learner.load_state(Path(command.path))
                self.learner.reseed(command.seed)
        self.learner.leave_team()

    def _learn(self, step: Step) -> None:
        if step.rate is not None:
            self.learner.set_learning_rate(step.rate)
        inputs, labels = self.data.train.rows(np.array(step.rows, dtype=np.int64))
        if self.augmentation is not None and len(labels):
            images = self.augmentation.apply(
                inputs[IMAGE], seed=self.seed, epoch=step.epoch, step=step.step, rank=self.rank
            )
            inputs = {**inputs, IMAGE: images}
        self.learner.train_batch(inputs, labels, rows=step.of)


def come_up(order: MemberOrder) -> Member:
    """Load the data and build the learner, which takes its place in the team."""
    with keras_on(order.parameters.get(BACKEND)):  # a recipe of your own may import Keras with its module
        recipe = load_recipe(order.recipe)
    parameters = recipe.Parameters(**resolve_parameters(order.recipe, order.parameters))
    recipe.prepare(parameters)
    rank = this_place().rank
    scratch = worker_folder(Path(order.work_dir), rank)
    cache = DataCache(folder=Path(order.cache_dir), limit_bytes=order.cache_bytes) if order.cache_dir else None
    own = TrainingOrder(
        recipe=order.recipe, parameters=order.parameters, data_uri=order.data_uri, target=order.target,
        seed=order.seed, work_dir=scratch, cache=cache, expected=order.expected, memory_bytes=order.memory_bytes,
        databases=order.databases,
    )  # fmt: skip
    data = recipe.load_data(own, parameters)
    learner = recipe.build_learner(data.description, parameters, order.seed)
    return Member(
        learner=cast("SharingLearner", learner),  # the leader has asked for `can_share`
        data=data,
        augmentation=parse_augmentation(getattr(parameters, "augment", "")),
        seed=order.seed,
        rank=rank,
    )


if __name__ == "__main__":
    code = main(sys.stdin.buffer)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an engine's threads must not hold up a process whose work is done
