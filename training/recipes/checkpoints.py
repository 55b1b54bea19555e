"""Keeps what a training needs to go on after it was stopped or killed.

    <folder>/000003-000000/state.json   how far it was, and the checksum of
                          learner       weights, optimizer, random generators

A checkpoint is written under another name and renamed, so one that is there is whole. Two are
kept: if the newest cannot be read, the one before it is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

STATE, LEARNER = "state.json", "learner"
KEPT = 2


@dataclass(kw_only=True)
class Progress:
    """How far a training is: `epoch` (from 1) is under way, `step` of its batches are done.

    The sums are over the rows seen in this epoch.
    """

    epoch: int = 1
    step: int = 0
    rows: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


class CheckpointStore:
    """The checkpoints of one order. `identity` tells orders apart: another order's are not read."""

    def __init__(self, folder: Path, *, identity: str) -> None:
        self._folder = folder
        self._identity = identity

    def save(self, progress: Progress, save_learner: Callable[[Path], None]) -> None:
        """Write a checkpoint in one step; raises OSError if the disk refuses."""
        place = self._folder / f"{progress.epoch:06d}-{progress.step:06d}"
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
            _sync(staging / LEARNER, staging / STATE)
            shutil.rmtree(place, ignore_errors=True)
            staging.rename(place)
            _sync(self._folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        self._forget_old()

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
        return sorted(p for p in self._folder.iterdir() if p.is_dir() and not p.name.startswith("."))

    def _forget_old(self) -> None:
        for place in self._places()[:-KEPT]:
            shutil.rmtree(place, ignore_errors=True)
        for leftover in self._folder.glob(".staging-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # of an attempt that was killed while writing


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
