"""Ships the spools of this machine's serving processes to monitoring: oldest first, at least once.

Runs as a job of the clock, in whose process nobody waits for a prediction, and at a lower priority
than serving: under load the cores are serving's, and what has piled up is worked off after. One
process ships at a time; a lock on a file says which.
"""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from aiplatform.contracts.monitoring import IngestReceipt, RecordPredictions
from aiplatform.errors import ConflictError, InvalidInputError, PayloadTooLargeError, PlatformError
from inference.recording.spool import Spool, SpoolFileCorruptError, SpoolFormatError, read_spool_file

log = structlog.get_logger(__name__)

LOCK = "shipper.lock"
LOOK_S = 0.25  # between two looks at the spools
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
ADOPT_INTERVAL_S = 10.0
LONGEST_RUN_S = 1.0  # then the clock may stop, or come again
# Answers that will be the same however often the batch is sent.
HOPELESS = (InvalidInputError, ConflictError, PayloadTooLargeError)


class Shipper:
    """Sends spool files and removes those that were received. `spool` is its own, for what it takes over.

    `nice` lowers the priority of the thread that calls `run`; `on_spool_bytes` is told what waits.
    """

    def __init__(
        self,
        *,
        root: Path,
        spool: Spool,
        ship: Callable[[RecordPredictions], IngestReceipt],
        on_spool_bytes: Callable[[int], None],
        nice: int = 0,
    ) -> None:
        self._root = root
        self._spool = spool
        self._ship = ship
        self._on_spool_bytes = on_spool_bytes
        self._nice = nice
        self._lock: int | None = None
        self._pause_s = 0.0  # 0: monitoring answered last time
        self._next_try_s = 0.0
        self._next_adoption_s = 0.0
        self._is_polite = False
        self._has_complained = False
        self._busy = threading.Lock()

    def run(self) -> None:
        """Ship what there is, unless another process does, or monitoring was away a moment ago."""
        self._lower_priority()
        with self._busy:
            if not self._claim() or time.monotonic() < self._next_try_s:
                return
            self._adopt_when_due()
            self._ship_until(time.monotonic() + LONGEST_RUN_S)

    def finish(self, timeout_s: float) -> None:
        """Ship on while the serving processes of this machine end; the rest stays in the spool."""
        thread = threading.Thread(target=self._finish, args=(time.monotonic() + timeout_s,), daemon=True)
        thread.start()
        thread.join(timeout_s)

    def _finish(self, deadline_s: float) -> None:
        if not self._busy.acquire(timeout=LONGEST_RUN_S):
            return  # a call hangs; what it holds stays in the spool
        try:
            if self._claim():
                self._ship_the_rest(deadline_s)
                self._give_up()
        finally:
            self._busy.release()

    def _ship_the_rest(self, deadline_s: float) -> None:
        while self._ship_until(deadline_s) and time.monotonic() < deadline_s:
            if not self._spool.has_living_others() and not self._spool.list_all_files():
                break
            time.sleep(0.05)
        self._spool.adopt()  # removes the folders that are empty and free

    def _lower_priority(self) -> None:
        if self._nice and not self._is_polite:
            self._is_polite = True
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)  # Linux: of this thread alone

    def _claim(self) -> bool:
        """Become the one that ships, if nobody is."""
        if self._lock is not None:
            return True
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._root / LOCK)
            if self._lock is not None:
                self._spool.open()
        except OSError as error:
            if not self._has_complained:
                log.error("spool_unusable", error=str(error), consequence="nothing is shipped from it")
            self._has_complained = True
            self._give_up()
        return self._lock is not None

    def _give_up(self) -> None:
        if self._lock is not None:
            self._spool.close()
            os.close(self._lock)
            self._lock = None

    def _ship_until(self, deadline_s: float) -> bool:
        """Ship every file there is; False as soon as monitoring cannot take one now."""
        try:
            for path in self._spool.list_all_files():
                if not self._ship_file(path):
                    self._wait_longer()
                    return False
                self._pause_s = 0.0
                if time.monotonic() > deadline_s:
                    break
            return True
        finally:
            self._on_spool_bytes(sum(_size(path) for path in self._spool.list_all_files()))

    def _wait_longer(self) -> None:
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S)
        self._next_try_s = time.monotonic() + self._pause_s * random.uniform(0.8, 1.2)  # noqa: S311 - spreads replicas

    def _ship_file(self, path: Path) -> bool:
        try:
            self._ship(read_spool_file(path))
        except FileNotFoundError:
            return True  # dropped meanwhile, because the spool was full
        except SpoolFileCorruptError:
            self._spool.set_aside(path, "corrupt")
            return True
        except SpoolFormatError:
            self._spool.set_aside(path, "unknown_format")
            return True
        except HOPELESS as error:
            log.error("predictions_refused", path=str(path), error=error.message)
            self._spool.set_aside(path, "refused")
            return True
        except PlatformError as error:
            if self._pause_s == 0.0:
                log.warning("monitoring_away_spooling", error=error.message)
            return False
        self._spool.remove(path)
        return True

    def _adopt_when_due(self) -> None:
        if time.monotonic() < self._next_adoption_s:
            return
        self._next_adoption_s = time.monotonic() + ADOPT_INTERVAL_S
        try:
            self._spool.adopt()
        except OSError as error:
            log.warning("spool_not_adopted", error=str(error))


def _locked(path: Path) -> int | None:
    """Return the descriptor of a file that this process alone has locked; None if another has."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
