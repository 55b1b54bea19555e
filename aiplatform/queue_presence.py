"""Whether a queue may answer a doorbell: a command that knows that none does need not wait for one.

A queue holds a shared lock on a file in DATA_DIR for as long as it lives; the kernel lets it go however the queue ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from pathlib import Path
from typing import IO

import structlog
from django.conf import settings
from django.db import connection

log = structlog.get_logger(__name__)

PATIENCE_S = 5.0


def announce_queue() -> IO[bytes] | None:
    """Take the lock of a queue that runs; it is held until the file is closed. None if the folder refuses it."""
    with contextlib.ExitStack() as stack:
        try:
            _lock_file().parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(_lock_file().open("ab"))
            _share(file, until_s=time.monotonic() + PATIENCE_S)
        except OSError as error:
            log.warning("queue_not_announced", error=str(error))
            return None
        stack.pop_all()
        return file


def _share(file: IO[bytes], *, until_s: float) -> None:
    """Take part in the lock; whoever looks whether there is a queue has it alone for an instant."""
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.01)


def may_queue_answer() -> bool:
    """Say whether somebody may take what is put into the queue.

    Only of a database that is a file of this machine is it known that nobody does; other databases may have queues
    anywhere.
    """
    if connection.vendor != "sqlite":
        return True
    try:
        with _lock_file().open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False  # not even the folder is there
    except OSError:
        return True
    return False


def _lock_file() -> Path:
    return Path(settings.DATA_DIR) / "queue.lock"
