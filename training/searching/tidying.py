"""Removes the checkpoints of trials that did not win, once their search is over.

A search may have a thousand trials, each with two checkpoints of its network. While it goes on, and while a
cancelled one may be resumed, an open trial needs its own; afterwards only the best trial's is of use: its model is
registered from it. It is done on the machine that has the folders, whoever ended the search; logs and curves stay.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from uuid import UUID

import structlog
from django.conf import settings

from training import selectors
from training.run_files import run_folder, work_folder

log = structlog.get_logger(__name__)

_AT_ONCE = 500  # ids in one query
_GOING = ".going-"


def remove_spent_checkpoints() -> int:
    """Remove on this machine what trials of ended searches need no more; return of how many trials."""
    here = _runs_with_checkpoints()
    spent = [
        run_id
        for start in range(0, len(here), _AT_ONCE)
        for run_id in selectors.list_spent_trials(here[start : start + _AT_ONCE])
    ]
    for run_id in spent:
        _remove(run_folder(run_id))
    if spent:
        log.info("trial_checkpoints_removed", trials=len(spent))
    return len(spent)


def _runs_with_checkpoints() -> list[UUID]:
    root = Path(settings.TRAINING_DIR)
    folders = root.iterdir() if root.is_dir() else ()
    return [UUID(folder.name) for folder in folders if _is_run(folder.name) and work_folder(folder).is_dir()]


def _is_run(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _remove(folder: Path) -> None:
    """Take the folder out of the way in one step, so that a run which is resumed just now begins with an empty one."""
    going = folder / f"{_GOING}{secrets.token_hex(4)}"
    try:
        work_folder(folder).rename(going)
    except OSError as error:
        log.warning("trial_checkpoints_not_removed", folder=str(folder), error=str(error))
    for leftover in folder.glob(f"{_GOING}*"):  # also those of a process that was killed in between
        shutil.rmtree(leftover, ignore_errors=True)
