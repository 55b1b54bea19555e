"""What the learning code reports, on its way into the run's row: often enough to watch, not more.

A step must be cheap, so progress is written at most twice a second; an epoch is always written.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError
from django.utils import timezone

from aiplatform.kept_connections import close_broken_connections
from training.event_files import FOLDER, EventFile
from training.heartbeat import StopFlag
from training.leases import StaleFenceError, write_data, write_epoch, write_run
from training.models import EpochMetrics
from training.recipes.api import StopRequestedError
from training.run_files import run_folder

log = structlog.get_logger(__name__)

WRITE_EVERY_S = 0.5
PERSIST_FOR_S = 60.0  # how long a write that must not be lost is tried
_RETRY_S = 0.5


def persist(write: Callable[[], object]) -> None:
    """Do a write that must not be lost: try again while the database is away.

    Raises: DatabaseError when the time is up; StaleFenceError at once.
    """
    deadline_s = time.monotonic() + PERSIST_FOR_S
    while True:
        try:
            close_broken_connections()
            write()
        except DatabaseError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_RETRY_S)
        else:
            return


class RunReporter:
    """A `Reporter` that writes to a run under its fence, and passes a stop on to the learning code."""

    def __init__(self, run_id: UUID, fence: int, flag: StopFlag) -> None:
        self._run_id, self._fence, self._flag = run_id, fence, flag
        self._progress: dict[str, Any] = {"phase": "preparing"}
        self._written_s = 0.0
        self._began_s = time.monotonic()
        self._events: EventFile | None = None
        self._steps_done = 0
        self._steps_total = 0
        self._rows_per_step = 0.0

    @property
    def progress(self) -> Mapping[str, Any]:
        """Return where the training is: phase, and once it learns, epoch and step."""
        return self._progress

    def describe_data(self, sources: Sequence[Mapping[str, Any]]) -> None:
        """Keep what was found in the data."""
        persist(lambda: write_data(self._run_id, self._fence, [dict(source) for source in sources]))

    def begin(self, *, epochs: int, steps_per_epoch: int, rows_per_epoch: int = 0) -> None:
        """Take note of the size of the whole."""
        self._rows_per_step = rows_per_epoch / steps_per_epoch if steps_per_epoch else 0.0
        self._began_s = time.monotonic()
        self._steps_total = epochs * steps_per_epoch
        self._progress = {"phase": "learning", "epochs": epochs, "steps": steps_per_epoch, "epoch": 1, "step": 0}
        self._write()

    def step(self, *, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Take note of one batch; raise StopRequestedError if the run shall stop."""
        self._steps_done += 1
        self._progress["epoch"], self._progress["step"] = epoch, step
        if self._flag.is_set():
            raise StopRequestedError("the run was asked to stop")
        if time.monotonic() - self._written_s < WRITE_EVERY_S:
            return
        self._progress |= {"metrics": finite_values(metrics)} | self._pace(epoch, step)
        self._write()

    def end_epoch(self, *, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep an epoch's metrics."""
        values = finite_values(metrics)
        self._progress |= {"epoch": epoch, "step": self._progress.get("steps", 0), "metrics": values}
        self._progress |= self._pace(epoch, int(self._progress.get("steps", 0)))
        now = timezone.now()
        persist(lambda: write_epoch(self._run_id, self._fence, epoch, values, progress=self._progress, progress_at=now))
        self._write_event(epoch, values)
        shown = "  ".join(f"{name}={value:.4g}" for name, value in values.items() if value is not None)
        self.log(f"epoch {epoch}/{self._progress.get('epochs', '?')}  {shown}")

    def _write_event(self, epoch: int, values: Mapping[str, float | None]) -> None:
        """Tell TensorBoard; a disk that refuses costs its view, not the run."""
        try:
            if self._events is None:
                self._events = EventFile(run_folder(self._run_id) / FOLDER, host=socket.gethostname())
            self._events.add_scalars(values, step=epoch)
        except (OSError, OverflowError) as error:
            log.warning("event_not_written", error=str(error))

    def complete_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """Keep the epochs that an attempt had learned and not reported when it died."""
        known = set(EpochMetrics.objects.filter(run_id=self._run_id).values_list("epoch", flat=True))
        for number, entry in enumerate(history, start=1):
            epoch = int(entry.get("epoch", number))
            if epoch not in known:
                values = finite_values({name: value for name, value in entry.items() if name != "epoch"})
                persist(partial(write_epoch, self._run_id, self._fence, epoch, values))

    def log(self, message: str) -> None:
        """Write a sentence for people into the run's log."""
        print(f"{timezone.now():%Y-%m-%d %H:%M:%S} {message}", flush=True)  # noqa: T201 (stdout is the run's log)

    def enter(self, phase: str) -> None:
        """Say what the run does now."""
        self._progress |= {"phase": phase}
        self._write()

    def _pace(self, epoch: int, step: int) -> dict[str, float]:
        elapsed_s = time.monotonic() - self._began_s
        if elapsed_s <= 0 or not self._steps_done:
            return {}
        rate = self._steps_done / elapsed_s
        done = (epoch - 1) * int(self._progress.get("steps", 0)) + step
        pace = {"steps_per_s": round(rate, 2), "left_s": round(max(0, self._steps_total - done) / rate, 1)}
        if self._rows_per_step:
            pace["samples_per_s"] = round(rate * self._rows_per_step, 1)
        return pace

    def _write(self) -> None:
        self._written_s = time.monotonic()
        try:
            write_run(self._run_id, self._fence, progress=self._progress, progress_at=timezone.now())
        except StaleFenceError:
            raise
        except DatabaseError as error:  # progress is only for watching; the heartbeat decides when to give up
            log.warning("progress_not_written", error=str(error))


def finite_values(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return metrics as JSON takes them: NaN and infinities become None."""
    return {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
