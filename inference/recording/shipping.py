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
from collections.abc import Callable, Iterator, Sequence
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
CALL_BYTES, CALL_FILES = 4 * 1024 * 1024, 16  # about as much goes in one call
REST_FACTOR, LONGEST_REST_S = 10.0, 2.0  # a run that took a moment is followed by so many moments of rest
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
        began_s = time.monotonic()
        try:
            for paths in _in_calls(self._spool.list_all_files()):
                if not self._ship_together(paths):
                    self._wait_longer()
                    return False
                self._pause_s = 0.0
                if time.monotonic() > deadline_s:
                    break
            self._rest_after(time.monotonic() - began_s)
            return True
        finally:
            self._on_spool_bytes(sum(_size(path) for path in self._spool.list_all_files()))

    def _rest_after(self, took_s: float) -> None:
        """Let files gather for a while where shipping takes long: many in one call cost little more than one."""
        self._next_try_s = time.monotonic() + min(LONGEST_REST_S, REST_FACTOR * took_s)

    def _wait_longer(self) -> None:
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S)
        self._next_try_s = time.monotonic() + self._pause_s * random.uniform(0.8, 1.2)  # noqa: S311 - spreads replicas

    def _ship_together(self, paths: Sequence[Path]) -> bool:
        """Ship files in one call; one by one if there is one among them that monitoring will never take."""
        orders = {path: order for path in paths if (order := self._read(path)) is not None}
        if not orders:
            return True
        try:
            self._ship(RecordPredictions(batches=tuple(batch for order in orders.values() for batch in order.batches)))
        except HOPELESS as error:
            if len(orders) > 1:
                return all(self._ship_together([path]) for path in orders)
            (path,) = orders
            log.error("predictions_refused", path=str(path), error=error.message)
            self._spool.set_aside(path, "refused")
            return True
        except PlatformError as error:
            if self._pause_s == 0.0:
                log.warning("monitoring_away_spooling", error=error.message)
            return False
        for path in orders:
            self._spool.remove(path)
        return True

    def _read(self, path: Path) -> RecordPredictions | None:
        """Return what a file holds; None if it has been dropped because the spool was full, or nobody can read it."""
        try:
            return read_spool_file(path)
        except FileNotFoundError:
            return None
        except SpoolFileCorruptError:
            self._spool.set_aside(path, "corrupt")
        except SpoolFormatError:
            self._spool.set_aside(path, "unknown_format")
        return None

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


def _in_calls(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Give files in the order they have, as many together as fit one call."""
    some: list[Path] = []
    size = 0
    for path in paths:
        bytes_here = _size(path)
        if some and (size + bytes_here > CALL_BYTES or len(some) == CALL_FILES):
            yield some
            some, size = [], 0
        some.append(path)
        size += bytes_here
    if some:
        yield some


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
