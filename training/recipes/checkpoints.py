"""Keeps what a training needs to go on after it was stopped or killed.

    <folder>/000003-000000/state.json   how far it was, and the checksum of
                          learner       weights, optimizer, random generators
    <folder>/best/...     the same, of the epoch with the least validation loss so far

A checkpoint is written under another name and renamed, so one that is there is whole. Two are
kept: if the newest cannot be read, the one before it is taken.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aiplatform.durable import sync_to_disk

STATE, LEARNER, BEST = "state.json", "learner", "best"
KEPT = 2


@dataclass(kw_only=True)
class Progress:
    """How far a training is: `epoch` (from 1) is under way, `step` of its batches are done.

    The sums are over the rows seen in this epoch. `best_epoch` is 0 until one has ended; `ended` says why no
    further epoch follows although there were some left; `seconds` is the time that all attempts learned.
    """

    epoch: int = 1
    step: int = 0
    rows: int = 0
    loss_sum: float = 0.0
    measure_sum: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    seconds: float = 0.0
    ended: str = ""


class CheckpointStore:
    """The checkpoints of one order. `identity` tells orders apart: another order's are not read."""

    def __init__(self, folder: Path, *, identity: str) -> None:
        self._folder = folder
        self._identity = identity

    def save(self, progress: Progress, save_learner: Callable[[Path], None]) -> None:
        """Write a checkpoint in one step; raises OSError if the disk refuses."""
        self._write(f"{progress.epoch:06d}-{progress.step:06d}", progress, save_learner)
        self._forget_old()

    def save_best(self, progress: Progress, save_learner: Callable[[Path], None]) -> None:
        """Write the state that is the best so far, beside those to go on from."""
        self._write(BEST, progress, save_learner)

    def load_best(self, load_learner: Callable[[Path], None]) -> Progress | None:
        """Read the best state into the learner; None if it is not there, or not whole."""
        progress = self._read_state(self._folder / BEST)
        if progress is not None:
            load_learner(self._folder / BEST / LEARNER)
        return progress

    def _write(self, name: str, progress: Progress, save_learner: Callable[[Path], None]) -> None:
        place = self._folder / name
        staging = self._folder / f".staging-{secrets.token_hex(8)}"
        staging.mkdir(parents=True)
        try:
            save_learner(staging / LEARNER)
            state = {
                "identity": self._identity,
                "learner_sha256": _checksum(staging / LEARNER),
                "progress": asdict(progress),
            }
            (staging / STATE).write_text(json.dumps(state))
            sync_to_disk(staging / LEARNER, staging / STATE)
            shutil.rmtree(place, ignore_errors=True)
            staging.rename(place)
            sync_to_disk(self._folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def load(self, load_learner: Callable[[Path], None]) -> Progress | None:
        """Read the newest whole checkpoint of this order into the learner; None if there is none."""
        for place in reversed(self._places()):
            progress = self._read_state(place)
            if progress is not None:
                load_learner(place / LEARNER)
                return progress
        return None

    def _read_state(self, place: Path) -> Progress | None:
        try:
            state = json.loads((place / STATE).read_text())
            is_ours = state["identity"] == self._identity and state["learner_sha256"] == _checksum(place / LEARNER)
            return Progress(**state["progress"]) if is_ours else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # cut or altered: an older one, or the beginning, is as good

    def _places(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(p for p in self._folder.iterdir() if p.is_dir() and p.name[0] != "." and p.name != BEST)

    def _forget_old(self) -> None:
        for place in self._places()[:-KEPT]:
            shutil.rmtree(place, ignore_errors=True)
        for leftover in self._folder.glob(".staging-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # of an attempt that was killed while writing


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
