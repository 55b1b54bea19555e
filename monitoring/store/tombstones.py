"""What was deleted and must not be seen again, whatever files still hold or deliver it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiplatform.late import late_module
from aiplatform.predictions.files import StoredFile
from monitoring.models import DeletedPrediction, PredictionDeletion
from monitoring.predictions import chunks

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = late_module("pyarrow")

_HEX = frozenset("0123456789abcdef")


def tombstones_of(file: StoredFile) -> tuple[Any, Any]:
    """Return tables of the deleted predictions that a file may hold, and of the forgotten subjects."""
    known = DeletedPrediction.objects.order_by()
    first, last = id_range(file)
    gone = known.filter(prediction_id__gte=first, prediction_id__lt=last).values_list("prediction_id", flat=True)
    forgotten = [
        {"subject": subject, "until": at}
        for subjects, at in _forgotten_since(file.first_ms)
        for subject in subjects
    ]  # fmt: skip
    schema = pa.schema([("subject", pa.string()), ("until", pa.timestamp("us", tz="UTC"))])
    return (
        pa.table({"prediction_id": pa.array(list(gone), pa.string())}),
        pa.Table.from_pylist(forgotten, schema=schema),
    )


def deleted_among(prediction_ids: Iterable[str]) -> set[str]:
    """Return those ids that were deleted."""
    known = DeletedPrediction.objects.order_by()
    if not known.exists():
        return set()  # the common case costs one look
    found: set[str] = set()
    for some in chunks(sorted(set(prediction_ids))):
        found.update(known.filter(prediction_id__in=some).values_list("prediction_id", flat=True))
    return found


def id_range(file: StoredFile) -> tuple[str, str]:
    """Return where the ids of a file's rows begin, and a bound above them; ids sort by their time."""
    return f"{max(0, file.first_ms - 1):012x}", f"{file.last_ms + 2:012x}"


def sorts_by_time(prediction_id: str) -> bool:
    """Say whether an id is one of ours, which begin with their time."""
    return len(prediction_id) == 32 and _HEX.issuperset(prediction_id)


def time_of(prediction_id: str) -> datetime | None:
    """Return when a prediction was made, if its id says so."""
    if not sorts_by_time(prediction_id):
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(prediction_id[:12], 16))


def _forgotten_since(first_ms: int) -> list[tuple[list[str], datetime]]:
    since = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=first_ms)
    found = PredictionDeletion.objects.filter(requested_at__gte=since).exclude(pseudonyms=[])
    return list(found.values_list("pseudonyms", "requested_at"))
