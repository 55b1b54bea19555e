"""Labelled predictions as a data source of training: what a retraining learns from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class LabelledExport:
    """A written data source. `format`: 'npz' (images; no target) or 'parquet' (a table; `target` is its column)."""

    uri: str
    rows: int
    format: str
    target: str = ""


def export_labelled(
    endpoint: str, *, since: datetime, until: datetime, uri: str, version: int | None = None
) -> LabelledExport:
    """Write the labelled rows of a period below the folder `uri`, in a form that training reads.

    Images become `labelled.npz` (`images`, `labels`), tables `labelled.parquet` with the column `target`.
    The returned `uri` is the file; `rows` may be 0, then there is no file.
    Raises: ArtifactError if the store cannot be read or written.
    """
    raise NotImplementedError
