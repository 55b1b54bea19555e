"""One compilation of an artifact at a time on this host: a locked file, which a dead process lets go of."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiplatform.errors import UnavailableError

_POLL_S = 0.2


@contextmanager
def compile_lock(folder: Path, digest: str, *, timeout_s: float) -> Iterator[None]:
    """Hold the lock of an artifact.

    Raises: UnavailableError if another process holds it for so long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + timeout_s
    with _lock_file(folder, digest).open("ab") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() > until:
                raise UnavailableError(f"another process has been compiling {digest} for {timeout_s:g} s")
            time.sleep(_POLL_S)
        yield  # closing the file lets go


def is_compiling(folder: Path, digest: str) -> bool:
    """Say whether a process of this host compiles an artifact now."""
    path = _lock_file(folder, digest)
    if not path.exists():
        return False
    with path.open("ab") as file:
        return not _try_lock(file.fileno())


def _lock_file(folder: Path, digest: str) -> Path:
    return folder / f"{digest.replace(':', '-')}.lock"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
