"""Ships the spool to monitoring, oldest first, at least once, with patience while it is away."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from aiplatform.contracts.monitoring import IngestReceipt, RecordPredictions
from aiplatform.errors import ConflictError, InvalidInputError, PayloadTooLargeError, PlatformError
from inference.recording.spool import Spool, SpoolFileCorruptError, read_spool_file

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
ADOPT_INTERVAL_S = 30.0
# Answers that will be the same however often the batch is sent.
HOPELESS = (InvalidInputError, ConflictError, PayloadTooLargeError)


class Shipper:
    """A thread that sends spool files and removes those that were received."""

    def __init__(
        self,
        *,
        spool: Spool,
        ship: Callable[[RecordPredictions], IngestReceipt],
        on_spool_bytes: Callable[[int], None],
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._spool = spool
        self._ship = ship
        self._on_spool_bytes = on_spool_bytes
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._pause_s = 0.0  # 0: monitoring answered last time
        self._next_adoption = 0.0
        self._work = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder-ship", daemon=True)

    def start(self) -> None:
        """Begin to ship."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new to ship."""
        self._work.set()

    def stop(self, timeout_s: float) -> None:
        """Try once more to ship everything, within the time."""
        self._is_stopping.set()
        self._work.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def ship_all(self) -> bool:
        """Ship every file there is; False as soon as monitoring cannot take one now."""
        return all(self._ship_file(path) for path in self._spool.list_files())

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            self._adopt_when_due()
            if self._has_shipped_all():
                self._pause_s = 0.0
                self._work.wait(ADOPT_INTERVAL_S)
            else:
                self._pause_s = min(self._longest_pause_s, self._pause_s * 2 or self._first_pause_s)
                self._is_stopping.wait(self._pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads replicas
            self._work.clear()
        self._has_shipped_all()

    def _has_shipped_all(self) -> bool:
        try:
            return self.ship_all()
        except Exception:  # a failing disk must not end shipping
            log.exception("spool_not_shipped")
            return False
        finally:
            self._on_spool_bytes(self._spool.size_bytes())

    def _ship_file(self, path: Path) -> bool:
        try:
            self._ship(read_spool_file(path))
        except FileNotFoundError:
            return True  # dropped meanwhile, because the spool was full
        except SpoolFileCorruptError:
            self._spool.set_aside(path, "corrupt")
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
        if time.monotonic() < self._next_adoption:
            return
        self._next_adoption = time.monotonic() + ADOPT_INTERVAL_S
        try:
            self._spool.adopt()
        except OSError as error:
            log.warning("spool_not_adopted", error=str(error))
