"""The folder of a run on the machine that trains: its log, its checkpoints, its exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

from training.log_noise import without_noise

_CHUNK_BYTES = 64 * 1024
_LONGEST_LINE = 2000


@dataclass(frozen=True, kw_only=True)
class LogMatches:
    """Lines with their numbers (from 1); `is_cut`: there may be more; `lines` were looked at."""

    found: list[tuple[int, str]]
    is_cut: bool
    lines: int


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


def group_file(folder: Path, fence: int) -> Path:
    """Return where what became of one attempt's cgroup is kept, if it had one."""
    return folder / f"group-{fence}.json"


def read_log_tail(run_id: UUID, *, lines: int) -> str | None:
    """Return the last lines of a run's log without a library's noise; None if there is no log on this machine."""
    try:
        with log_file(run_folder(run_id)).open("rb") as file:
            return "\n".join(_last_lines(file, lines)) if lines > 0 else ""
    except OSError:
        return None


def _last_lines(file: BinaryIO, count: int) -> list[str]:
    size = file.seek(0, os.SEEK_END)
    raw, kept = b"", list[str]()
    while size and len(kept) <= count:  # one more: the first may be cut
        step = min(max(_CHUNK_BYTES, len(raw)), size)
        size -= step
        file.seek(size)
        raw = file.read(step) + raw
        kept = without_noise(raw.decode("utf-8", "replace")).splitlines()
    return kept[-count:]


def read_log_from(run_id: UUID, offset: int, *, limit_bytes: int = -1) -> tuple[str, int]:
    """Return what was written since `offset` (bytes) without a library's noise, and the offset after it.

    With a limit, no more than so much, and whole lines if there is the end of one. The text is empty only at the end.
    """
    try:
        with log_file(run_folder(run_id)).open("rb") as file:
            file.seek(offset)
            while raw := file.read(limit_bytes):
                if 0 < limit_bytes == len(raw) and b"\n" in raw:
                    raw = raw[: raw.rindex(b"\n") + 1]
                offset += len(raw)
                file.seek(offset)
                text = without_noise(raw.decode("utf-8", "replace"))
                if text:
                    return text, offset
    except OSError:
        pass
    return "", offset


def search_log(run_id: UUID, words: str, *, limit: int) -> LogMatches | None:
    """Return the lines of a run's log that have these words in them, upper or lower case; None if there is no log."""
    wanted = words.casefold()
    found: list[tuple[int, str]] = []
    lines = 0
    try:
        with log_file(run_folder(run_id)).open("r", encoding="utf-8", errors="replace") as file:
            for lines, line in enumerate(file, start=1):
                if wanted in line.casefold():
                    if len(found) == limit:
                        return LogMatches(found=found, is_cut=True, lines=lines)
                    found.append((lines, line.rstrip("\n")[:_LONGEST_LINE]))
    except OSError:
        return None
    return LogMatches(found=found, is_cut=False, lines=lines)


def read_log_chunks(run_id: UUID) -> Iterator[bytes]:
    """Yield a run's log as it is now, in pieces.

    Raises: OSError if there is none on this machine.
    """
    with log_file(run_folder(run_id)).open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def log_size(run_id: UUID) -> int:
    """Return the length of a run's log in bytes; 0 if there is none."""
    try:
        return log_file(run_folder(run_id)).stat().st_size
    except OSError:
        return 0
