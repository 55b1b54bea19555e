"""Writes Parquet files of the store anew, batch by batch: memory does not grow with the file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiplatform.late import late_module
from aiplatform.predictions.files import put_whole
from aiplatform.predictions.tables import FACTS, parquet_options

if TYPE_CHECKING:
    from pyarrow import parquet
else:
    parquet = late_module("pyarrow.parquet")

LEVEL = 6  # Zstandard: these files are written once more and read for weeks


def write_batches(uri: str, schema: Any, batches: Iterable[Any], *, facts: dict[bytes, bytes] | None = None) -> int:
    """Write batches of one schema as the file at `uri`, whole or not at all; return how many rows.

    `facts` replaces the file's own description. Raises: ArtifactError if the store refuses.
    """
    described = {**(schema.metadata or {}), **(facts or {})}
    target = schema.with_metadata({key: value for key, value in described.items() if key == FACTS})
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        path = Path(folder) / "rows.parquet"
        rows = _write(path, target, batches)
        put_whole(uri, path)
    return rows


def _write(path: Path, schema: Any, batches: Iterable[Any]) -> int:
    options = parquet_options(schema.empty_table(), LEVEL)
    options.pop("row_group_size")  # a batch is a row group
    rows = 0
    with parquet.ParquetWriter(path, schema, **options) as writer:
        for batch in batches:
            writer.write_batch(batch.cast(schema) if batch.schema != schema else batch)
            rows += batch.num_rows
    return rows
