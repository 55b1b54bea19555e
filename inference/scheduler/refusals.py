"""What a queue says when it takes no more."""

from __future__ import annotations

from aiplatform.contracts.predict import DEADLINE_HEADER
from aiplatform.errors import PayloadTooLargeError, QueueFullError
from inference.scheduler.job import Job
from inference.scheduler.limits import BatchLimits
from inference.scheduler.waiting import WaitingRows


def refuse_too_large(job: Job, limits: BatchLimits) -> None:
    """Raise PayloadTooLargeError for what no queue of these limits could ever hold."""
    if job.rows > limits.max_queue_rows:
        raise PayloadTooLargeError(
            f"the request has {job.rows} rows; a queue holds {limits.max_queue_rows} (MAX_QUEUE_ROWS)",
            limit="queued rows",
            value=limits.max_queue_rows,
            setting="MAX_QUEUE_ROWS",
        )
    if job.size_bytes > limits.max_queue_bytes:
        raise PayloadTooLargeError(
            f"the request's inputs take {job.size_bytes} bytes; a queue holds {limits.max_queue_bytes} "
            "(MAX_QUEUE_BYTES)",
            limit="queued bytes",
            value=limits.max_queue_bytes,
            setting="MAX_QUEUE_BYTES",
        )


def too_slow(name: str, waiting: WaitingRows, *, wait_s: float, patience_s: float) -> QueueFullError:
    """Return the error for rows that would expire before their turn."""
    return QueueFullError(
        f"{name} is overloaded: {waiting.rows} rows wait, about {wait_s:.2f} s, too long for the request's deadline of "
        f"{patience_s:.2f} s ({DEADLINE_HEADER}, else PREDICT_DEADLINE_S)",
        limit="deadline",
        value=round(patience_s, 3),
        setting="PREDICT_DEADLINE_S",
        retry_after_s=max(1.0, round(wait_s, 1)),
    )


def queue_full(name: str, waiting: WaitingRows, limits: BatchLimits, rows: int, *, wait_s: float) -> QueueFullError:
    """Return the error for rows that a queue has no room for."""
    is_by_rows = waiting.rows + rows > limits.max_queue_rows
    setting = "MAX_QUEUE_ROWS" if is_by_rows else "MAX_QUEUE_BYTES"
    limit = limits.max_queue_rows if is_by_rows else limits.max_queue_bytes
    found = f"{waiting.rows} rows wait" if is_by_rows else f"inputs of {waiting.size_bytes} bytes wait"
    return QueueFullError(
        f"{name} is overloaded: {found}, the limit is {limit} ({setting})",
        limit="queued rows" if is_by_rows else "queued bytes",
        value=limit,
        setting=setting,
        retry_after_s=max(1.0, round(wait_s, 1)),
    )
