"""The clock's part of the prediction store: forms batches of what was kept, and writes them, one process at a time."""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from aiplatform.errors import PlatformError
from inference.recording.spool import Spool
from inference.recording.storing import BatchFolders, BatchLimits, Step, StoreWriter, no_step

log = structlog.get_logger(__name__)

LOCK = "shipper.lock"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
ADOPT_INTERVAL_S = 10.0
LONGEST_RUN_S = 2.0  # then the clock may stop, or come again


class StoreShipper:
    """Moves what serving processes kept into the store. `spool` is its own, for what it takes over.

    `on_backlog` is told the bytes that wait and the age of the oldest; `nice` lowers the calling thread's priority.
    """

    def __init__(
        self,
        *,
        folder: Path,
        spool: Spool,
        writer: StoreWriter,
        limits: BatchLimits,
        on_backlog: Callable[[int, float], None],
        nice: int = 0,
        step: Step = no_step,
    ) -> None:
        self._folder = folder
        self._spool = spool
        self._writer = writer
        self._batches = BatchFolders(folder / "batches", limits=limits, step=step)
        self._on_backlog = on_backlog
        self._nice = nice
        self._lock: int | None = None
        self._pause_s = 0.0  # 0: the store answered last time
        self._next_try_s = 0.0
        self._next_adoption_s = 0.0
        self._has_complained = False
        self._busy = threading.Lock()

    def run(self) -> None:
        """Ship the batches that are due, unless another process does, or the store refused a moment ago."""
        if self._nice:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        with self._busy:
            if not self._claim() or time.monotonic() < self._next_try_s:
                return
            self._adopt_when_due()
            self._ship_until(time.monotonic() + LONGEST_RUN_S)
            self._report()

    def finish(self, timeout_s: float) -> None:
        """Ship what there is, however young, while there is time; the rest stays on disk."""
        thread = threading.Thread(target=self._finish, args=(time.monotonic() + timeout_s,), daemon=True)
        thread.start()
        thread.join(timeout_s)

    def _finish(self, deadline_s: float) -> None:
        if not self._busy.acquire(timeout=LONGEST_RUN_S):
            return
        try:
            if self._claim():
                self._ship_the_rest(deadline_s)
                self._give_up()
        finally:
            self._busy.release()

    def _ship_the_rest(self, deadline_s: float) -> None:
        """Wait for this machine's serving processes to write their last, and ship it."""
        while time.monotonic() < deadline_s:
            is_last = not self._spool.has_living_others()
            self._adopt()
            if not self._ship_until(deadline_s, in_full=is_last) or is_last:
                return
            time.sleep(0.1)

    def _claim(self) -> bool:
        """Be the one that ships on this machine; False if another process is, or the disk refuses."""
        if self._lock is not None:
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._folder / LOCK)
            if self._lock is not None:
                self._spool.open()
        except OSError as error:
            if not self._has_complained:
                log.error("store_spool_unusable", error=str(error), consequence="nothing is moved into the store")
            self._has_complained = True
            self._give_up()
        return self._lock is not None

    def _give_up(self) -> None:
        if self._lock is not None:
            self._spool.close()
            os.close(self._lock)
            self._lock = None

    def _ship_until(self, deadline_s: float, *, in_full: bool = False) -> bool:
        """Ship batch after batch; False as soon as the store or the disk refuses."""
        while True:
            try:
                batch = self._batches.next(self._spool, in_full=in_full)
                if batch is None:
                    return True
                self._writer.write(batch)
                self._batches.finish(batch)
            except (PlatformError, OSError) as error:
                self._wait_longer(error)
                return False
            self._pause_s = 0.0
            if time.monotonic() > deadline_s:
                return True

    def _wait_longer(self, error: Exception) -> None:
        if self._pause_s == 0.0:
            log.warning("prediction_store_away_spooling", error=str(error))
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S)
        self._next_try_s = time.monotonic() + self._pause_s * random.uniform(0.8, 1.2)  # noqa: S311 - spreads machines

    def _adopt_when_due(self) -> None:
        if time.monotonic() >= self._next_adoption_s:
            self._next_adoption_s = time.monotonic() + ADOPT_INTERVAL_S
            self._adopt()

    def _adopt(self) -> None:
        try:
            self._spool.adopt()
        except OSError as error:
            log.warning("spool_not_adopted", error=str(error))

    def _report(self) -> None:
        try:
            waiting = self._spool.list_all_files()
            size = sum(path.stat().st_size for path in waiting) + self._batches.size_bytes()
        except OSError:
            return  # a file went while we looked; the next look will do
        oldest_ns = waiting[0].name.partition("-")[0] if waiting else ""
        self._on_backlog(size, max(0.0, time.time() - int(oldest_ns) / 1e9) if oldest_ns.isdecimal() else 0.0)


def _locked(path: Path) -> int | None:
    """Return the descriptor of a file that this process alone has locked; None if another has."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
