"""The folder of a run on the machine that trains: its log, its checkpoints, its exit codes."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from django.conf import settings

_CHUNK_BYTES = 64 * 1024


def run_folder(run_id: UUID) -> Path:
    """Return the run's folder below TRAINING_DIR."""
    return Path(settings.TRAINING_DIR) / str(run_id)


def log_file(folder: Path) -> Path:
    """Return where the trainer's output goes."""
    return folder / "log.txt"


def work_folder(folder: Path) -> Path:
    """Return where the recipe keeps its checkpoints."""
    return folder / "work"


def exit_file(folder: Path, fence: int) -> Path:
    """Return where the exit code of one attempt is kept."""
    return folder / f"exit-{fence}.txt"


def read_log_tail(run_id: UUID, *, lines: int) -> str | None:
    """Return the last lines of a run's log; None if there is no log on this machine."""
    try:
        with log_file(run_folder(run_id)).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            raw = b""
            while size and raw.count(b"\n") <= lines:
                step = min(_CHUNK_BYTES, size)
                size -= step
                file.seek(size)
                raw = file.read(step) + raw
    except OSError:
        return None
    kept = raw.decode("utf-8", "replace").splitlines()[-lines:] if lines > 0 else []
    return "\n".join(kept)


def read_log_from(run_id: UUID, offset: int) -> tuple[str, int]:
    """Return what was written since `offset` (bytes), and the offset after it."""
    try:
        with log_file(run_folder(run_id)).open("rb") as file:
            file.seek(offset)
            raw = file.read()
    except OSError:
        return "", offset
    return raw.decode("utf-8", "replace"), offset + len(raw)


def log_size(run_id: UUID) -> int:
    """Return the length of a run's log in bytes; 0 if there is none."""
    try:
        return log_file(run_folder(run_id)).stat().st_size
    except OSError:
        return 0
