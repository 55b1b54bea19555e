"""From a prediction id to everything behind it: version, artifact, label, run, data, commit."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from aiplatform.artifacts import Lineage
from aiplatform.errors import PlatformError
from aiplatform.services import training_client
from monitoring.models import ServedVersion
from monitoring.predictions import FoundRow
from monitoring.selectors import list_prediction_rows


@dataclass(frozen=True, kw_only=True)
class PredictionTrace:
    """One answer and its origin. `lineage_error` says why there is no lineage."""

    prediction_id: str
    served: ServedVersion
    rows: list[FoundRow]
    lineage: Lineage | None
    lineage_error: str


def trace_prediction(prediction_id: str) -> PredictionTrace:
    """Return where a prediction came from; training being away costs only the run's part.

    Raises: NotFoundError if the prediction has not arrived or is no longer kept.
    """
    rows = list_prediction_rows(prediction_id)
    served = rows[0].block.window.served
    lineage, error = None, ""
    try:
        lineage = training_client().get_lineage(served.model, served.version)
    except PlatformError as problem:
        error = problem.message
    return PredictionTrace(prediction_id=prediction_id, served=served, rows=rows, lineage=lineage, lineage_error=error)


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
        "time": trace.rows[0].content.time.isoformat(),
        "rows": [_row_to_dict(row) for row in trace.rows],
        "lineage": asdict(trace.lineage) if trace.lineage else None,
        "lineage_error": trace.lineage_error,
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
