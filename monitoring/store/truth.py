"""The truth of a file's rows, as far as it is known in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiplatform.late import late_module
from aiplatform.predictions.files import StoredFile
from monitoring.models import Feedback
from monitoring.store.tombstones import id_range

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = late_module("pyarrow")


def truth_of(file: StoredFile) -> Any:
    """Return a table of the feedback that may belong to rows of a file."""
    first, last = id_range(file)
    near = Feedback.objects.filter(prediction_key__gte=first, prediction_key__lt=last)
    rows = list(near.order_by().values_list("prediction_key", "row", "label", "value"))
    return pa.table([list(column) for column in zip(*rows, strict=True)] or [[], [], [], []], schema=_schema())


def _schema() -> Any:
    fields = {"prediction_id": pa.string(), "row": pa.int32(), "label": pa.string(), "value": pa.float64()}
    return pa.schema(list(fields.items()))
