"""Takes rows out of one file of the store; the file keeps its name, so that its batch cannot come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiplatform.late import late_module
from aiplatform.predictions.files import StoredFile
from monitoring import metrics
from monitoring.models import PredictionDeletion
from monitoring.store.opening import open_parquet
from monitoring.store.rewriting import write_batches

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = late_module("pyarrow")
    pc = late_module("pyarrow.compute")

BATCH_ROWS = 2000


def ids_of_subject(file: StoredFile, order: PredictionDeletion) -> list[str]:
    """Return the ids of a file's rows about the subject of an order, up to the time of the order.

    Raises: ArtifactError, ArtifactCorruptError.
    """
    found: list[str] = []
    wanted = pa.array(order.pseudonyms, pa.string())
    with open_parquet(file.uri, size_bytes=file.size_bytes) as source:
        for batch in source.iter_batches(batch_size=BATCH_ROWS, columns=["prediction_id", "subject", "time"]):
            is_theirs = pc.is_in(batch.column("subject"), value_set=wanted)
            is_old = pc.less_equal(batch.column("time"), pa.scalar(order.requested_at, batch.column("time").type))
            found += batch.filter(pc.and_(is_theirs, is_old)).column("prediction_id").to_pylist()
    return found


def erase_from_file(file: StoredFile, prediction_ids: set[str]) -> list[int]:
    """Write a file anew without some predictions, if it holds any; return how many rows went, in a list.

    Raises: ArtifactError, ArtifactCorruptError.
    """
    gone = pa.array(sorted(prediction_ids), pa.string())
    with open_parquet(file.uri, size_bytes=file.size_bytes) as source:
        before = source.metadata.num_rows
        if not _holds(source, gone):
            return []
    with open_parquet(file.uri, size_bytes=file.size_bytes) as source:
        after = write_batches(file.uri, source.schema_arrow, _without(source, gone))
    metrics.STORE_DELETED_ROWS.inc(before - after)
    return [before - after]


def _holds(source: Any, gone: Any) -> bool:
    for batch in source.iter_batches(batch_size=BATCH_ROWS, columns=["prediction_id"]):
        if pc.any(pc.is_in(batch.column("prediction_id"), value_set=gone)).as_py():
            return True
    return False


def _without(source: Any, gone: Any) -> Iterator[Any]:
    for batch in source.iter_batches(batch_size=BATCH_ROWS):
        left = batch.filter(pc.invert(pc.is_in(batch.column("prediction_id"), value_set=gone)))
        if left.num_rows:
            yield left
