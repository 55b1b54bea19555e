"""The clock's job that ships what this machine's serving processes have recorded."""

from __future__ import annotations

import functools
import os
import secrets
import socket

from django.conf import settings

from aiplatform.contracts.monitoring import IngestReceipt, RecordPredictions, StorePolicies
from aiplatform.predictions.files import store_root
from aiplatform.services import monitoring_client
from aiplatform.wiring import Job
from inference import metrics
from inference.connections import tidy_connections
from inference.recording.keeping import FORM, RowKeeper
from inference.recording.policies import PolicyBook
from inference.recording.shipping import LOOK_S, Shipper
from inference.recording.spool import Spool
from inference.recording.store_shipping import StoreShipper
from inference.recording.storing import BatchLimits, StoreWriter

SPOOL_FOLDER = "spool"  # below DATA_DIR
STORE_FOLDER = "prediction-store"
POLICY_FILE = "store-policies.json"
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


def storing_job() -> Job:
    """Return what the clock repeats to fill the prediction store, and does at its end."""
    return Job(name="prediction-store", interval_s=1.0, run=_store, on_stop=_store_the_rest)


def open_store_spool(owner: str) -> Spool:
    """Return a process's spool of whole predictions; not opened."""
    root = settings.DATA_DIR / STORE_FOLDER / "spool"
    return Spool(
        root, replica=owner, max_bytes=settings.STORE_SPOOL_MAX_BYTES, on_drop=metrics.count_not_stored, form=FORM
    )


def make_keeper(owner: str, book: PolicyBook) -> RowKeeper:
    """Return what keeps whole predictions in a serving process."""
    return RowKeeper(
        policy_of=book.of, spool=open_store_spool(owner), secret=first_secret(), on_drop=metrics.count_not_stored
    )


def make_policy_book() -> PolicyBook:
    """Return a serving process's policies."""
    return PolicyBook(ask=tidy_connections()(_ask_policies), memory=settings.DATA_DIR / POLICY_FILE)


def first_secret() -> str:
    """Return the secret that makes pseudonyms; '' if there is none."""
    return next(iter(settings.PREDICTION_HASH_SECRETS), "")


def _ask_policies() -> StorePolicies:
    return monitoring_client().get_store_policies()


def _store() -> None:
    _store_shipper().run()


def _store_the_rest() -> None:
    _store_shipper().finish(settings.GRACEFUL_STOP_S * FINISH_SHARE)


@functools.cache
def _store_shipper() -> StoreShipper:
    folder = settings.DATA_DIR / STORE_FOLDER
    spool = open_store_spool(f"clock-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}")
    return StoreShipper(
        folder=folder,
        spool=spool,
        writer=StoreWriter(
            root_uri=store_root(settings.ARTIFACT_STORE), set_aside=spool.set_aside, on_stored=metrics.count_stored
        ),
        limits=BatchLimits(size_bytes=settings.STORE_BATCH_BYTES, age_s=settings.STORE_INTERVAL_S),
        on_backlog=metrics.set_store_backlog,
        nice=settings.SHIPPING_NICE,
    )


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
