"""The clock's job that ships what this machine's serving processes have recorded."""

from __future__ import annotations

import functools
import os
import secrets
import socket

from django.conf import settings

from aiplatform.contracts.monitoring import IngestReceipt, RecordPredictions
from aiplatform.services import monitoring_client
from aiplatform.wiring import Job
from inference import metrics
from inference.recording.shipping import LOOK_S, Shipper
from inference.recording.spool import Spool

SPOOL_FOLDER = "spool"  # below DATA_DIR
FINISH_SHARE = 0.75  # of GRACEFUL_STOP_S, in which the serving processes write their last


def shipping_job() -> Job:
    """Return what the clock repeats, and does at its end."""
    return Job(name="prediction-shipping", interval_s=LOOK_S, run=_run, on_stop=_finish)


def open_spool(owner: str) -> Spool:
    """Return a process's spool; not opened."""
    root = settings.DATA_DIR / SPOOL_FOLDER
    return Spool(root, replica=owner, max_bytes=settings.SPOOL_MAX_BYTES, on_drop=metrics.count_dropped)


def ship(order: RecordPredictions) -> IngestReceipt:
    """Hand predictions to monitoring."""
    return monitoring_client().record_predictions(order)


def _run() -> None:
    _shipper().run()


def _finish() -> None:
    _shipper().finish(settings.GRACEFUL_STOP_S * FINISH_SHARE)


@functools.cache
def _shipper() -> Shipper:
    return Shipper(
        root=settings.DATA_DIR / SPOOL_FOLDER,
        spool=open_spool(f"clock-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"),
        ship=ship,
        on_spool_bytes=metrics.SPOOL_BYTES.set,
        nice=settings.SHIPPING_NICE,
    )
