"""The thread in a trainer that prolongs the lease, measures, reads the stop flag, and ends a stale process.

The learning code may be in a long step and cannot look; so it is a thread, with a database
connection of its own. A process that has lost its lease must not go on: it leaves at once, without
any clean-up that could write.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connections

from aiplatform.kept_connections import close_broken_connections
from training.leases import StaleFenceError, renew_lease
from training.memory_guard import MemoryGuard, end_others
from training.states import ExitClass
from training.usage_series import UsageRecorder

log = structlog.get_logger(__name__)

STALE_EXIT_CODE = 75
_BEATS_PER_LEASE = 6
_LONGEST_BEAT_S = 1.0  # also how soon a cancelled run hears of it


class StopFlag:
    """Set from a signal or by the heartbeat; read by the learning code at each step."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ExitClass.NONE  # none: an orderly stop, after which the run goes back to the queue

    def set(self, reason: ExitClass = ExitClass.NONE) -> None:
        """Ask for a stop. A reason from the row replaces an orderly stop."""
        self.reason = reason or self.reason
        self._event.set()

    def is_set(self) -> bool:
        """Say whether a stop was asked for."""
        return self._event.is_set()


class Heartbeat:
    """Renews the lease until `stop`."""

    def __init__(self, run_id: UUID, fence: int, flag: StopFlag) -> None:
        self._run_id, self._fence, self._flag = run_id, fence, flag
        self._beat_s = min(_LONGEST_BEAT_S, settings.TRAINING_LEASE_S / _BEATS_PER_LEASE)
        self._renewed_s = time.monotonic()
        self._is_over = threading.Event()
        self._usage = UsageRecorder(run_id, fence)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def guard_memory(self, guard: MemoryGuard) -> None:
        """Have each measurement of memory looked at; before the start, or while it beats."""
        self._usage.guard_memory(guard)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._is_over.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            while not self._is_over.wait(self._beat_s):
                self._beat()
                self._measure()
        finally:
            connections.close_all()

    def _beat(self) -> None:
        try:
            close_broken_connections()
            reason = renew_lease(self._run_id, self._fence)
            self._renewed_s = time.monotonic()
            if reason:
                self._flag.set(reason)
        except StaleFenceError as error:
            if not self._is_over.is_set():
                leave_stale(str(error))
        except DatabaseError as error:
            silent_s = time.monotonic() - self._renewed_s
            log.warning("heartbeat_failed", error=str(error), silent_s=round(silent_s, 1))
            if silent_s > settings.TRAINING_LEASE_S:
                leave_stale("the database could not be reached for as long as the lease lasts")

    def _measure(self) -> None:
        """Measure beside the beat: what goes wrong here must not cost the lease."""
        try:
            self._usage.beat()
        except StaleFenceError:
            return  # the next beat ends the process
        except Exception as error:  # noqa: BLE001  (a driver may raise anything)
            log.warning("usage_not_recorded", error=f"{type(error).__name__}: {error}")


def leave_stale(why: str) -> None:
    """End this process now, with all that it started: another may hold the run."""
    log.error("trainer_is_stale", why=why)
    if os.getsid(0) == os.getpid():  # else there are others in its session that it did not start
        end_others()
    sys.stderr.flush()
    os._exit(STALE_EXIT_CODE)
