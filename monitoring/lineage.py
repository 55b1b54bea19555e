"""From a prediction id to everything behind it: version, artifact, label, run, data, commit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime

from aiplatform.artifacts import Lineage
from aiplatform.errors import NotFoundError, PlatformError
from aiplatform.services import training_client
from monitoring.models import ServedVersion
from monitoring.predictions import FoundRow
from monitoring.selectors import list_prediction_rows
from monitoring.store.lookup import StoredRow, find_stored_rows, row_to_dict


@dataclass(frozen=True, kw_only=True)
class PredictionTrace:
    """One answer and its origin. `rows` is the index, `stored` what was kept whole; one of the two may be empty.

    `lineage_error` says why there is no lineage, `stored_error` why the store could not be read.
    """

    prediction_id: str
    served: ServedVersion
    rows: list[FoundRow]
    lineage: Lineage | None
    lineage_error: str
    stored: list[StoredRow] = field(default_factory=list)
    stored_error: str = ""

    @property
    def time(self) -> datetime:
        """Return when it was asked."""
        return self.rows[0].content.time if self.rows else self.stored[0].time


def trace_prediction(prediction_id: str) -> PredictionTrace:
    """Return where a prediction came from; training being away costs only the run's part.

    Raises: NotFoundError if the prediction has not arrived or is no longer kept.
    """
    rows, not_found = _indexed(prediction_id)
    stored, stored_error = _stored(prediction_id, rows)
    if not rows and not stored:
        raise not_found or NotFoundError(f"no prediction '{prediction_id}'")
    served = rows[0].block.window.served if rows else _served(stored[0])
    lineage, error = None, ""
    try:
        lineage = training_client().get_lineage(served.model, served.version)
    except PlatformError as problem:
        error = problem.message
    return PredictionTrace(
        prediction_id=prediction_id, served=served, rows=rows, lineage=lineage, lineage_error=error,
        stored=stored, stored_error=stored_error,
    )  # fmt: skip


def _indexed(prediction_id: str) -> tuple[list[FoundRow], NotFoundError | None]:
    try:
        return list_prediction_rows(prediction_id), None
    except NotFoundError as error:
        return [], error


def _stored(prediction_id: str, rows: list[FoundRow]) -> tuple[list[StoredRow], str]:
    endpoint = rows[0].block.window.served.endpoint if rows else ""
    time = rows[0].content.time if rows else None
    try:
        return find_stored_rows(prediction_id, endpoint=endpoint, time=time), ""
    except PlatformError as error:
        return [], error.message


def _served(row: StoredRow) -> ServedVersion:
    """Return the version that gave a stored answer; one that is no longer known is made up, and not saved."""
    known = ServedVersion.objects.filter(
        endpoint=row.endpoint, version=row.version, artifact_digest=row.artifact_digest
    ).first()  # fmt: skip
    return known or ServedVersion(
        endpoint=row.endpoint, model=row.model, version=row.version, artifact_digest=row.artifact_digest,
        artifact_uri="", first_seen_at=row.time, last_seen_at=row.time,
    )  # fmt: skip


def trace_to_dict(trace: PredictionTrace) -> dict[str, object]:
    """Return the trace as JSON-ready values."""
    served = trace.served
    return {
        "prediction_id": trace.prediction_id,
        "endpoint": served.endpoint,
        "model": served.model,
        "version": served.version,
        "artifact_uri": served.artifact_uri,
        "artifact_digest": served.artifact_digest,
        "time": trace.time.isoformat(),
        "rows": [_row_to_dict(row) for row in trace.rows],
        "lineage": asdict(trace.lineage) if trace.lineage else None,
        "lineage_error": trace.lineage_error,
        "stored": [row_to_dict(row) for row in trace.stored],
        "stored_error": trace.stored_error,
    }


def _row_to_dict(row: FoundRow) -> dict[str, object]:
    feedback, said = row.feedback, row.content
    truth = feedback and {
        "label": feedback.label, "value": feedback.value, "source": feedback.source,
        "received_at": feedback.received_at.isoformat(),
    }  # fmt: skip
    return {
        "row": said.row,
        "label": said.label,
        "confidence": said.confidence,
        "value": said.value,
        "feedback": truth,
    }
