"""What a data set is, in few bytes: its schema, its profile, its size. What a registered version keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.features import extract_features
from aiplatform.profiles import DataProfile
from training.data.dataset import Dataset

PROFILED_ROWS = 50_000  # a sample of this size puts a quantile well within 1% of its place
AT_ONCE = 1000
LABEL = "label"


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """`schema` and `profile` are JSON-ready; `size_bytes` is that of the rows as they are learned from."""

    kind: str
    rows: int
    size_bytes: int
    schema: dict[str, Any]
    profile: dict[str, Any]


def summarise(data: Dataset) -> DatasetSummary:
    """Return what there is to keep of a data set. The same data give the same summary but for the sketches' chance."""
    parts = (data.train, data.validation, data.test)
    counts = sum(np.bincount(part.labels, minlength=len(data.labels)) for part in parts)
    rows = sum(len(part) for part in parts)
    schema = {
        "inputs": [{"name": s.name, "dtype": s.dtype.value, "shape": list(s.shape)} for s in data.inputs],
        "labels": dict(zip(data.labels, np.asarray(counts).tolist(), strict=True)),
    }
    return DatasetSummary(
        kind=data.kind.value,
        rows=rows,
        size_bytes=_row_bytes(data) * rows,
        schema=schema,
        profile=profile_rows(data).to_dict(),
    )


def profile_rows(data: Dataset) -> DataProfile:
    """Return the features of all parts together, of at most 50,000 rows, and the labels as the output `label`."""
    profile, total = DataProfile(), sum(len(part) for part in (data.train, data.validation, data.test))
    share = min(1.0, PROFILED_ROWS / max(1, total))
    names = np.array(data.labels, dtype=object)
    for part in (data.train, data.validation, data.test):
        count = int(np.ceil(len(part) * share))
        chosen = np.sort(np.random.default_rng(0).choice(len(part), count, replace=False))
        for start in range(0, count, AT_ONCE):
            inputs, labels = part.rows(chosen[start : start + AT_ONCE])
            profile.update(extract_features(inputs), {LABEL: names[labels]})
    return profile


def _row_bytes(data: Dataset) -> int:
    """Return the mean bytes of a row, of texts their characters."""
    inputs = data.train.inputs  # of rows on disk a sample
    rows = max(1, len(next(iter(inputs.values()))))
    texts = sum(len(t.encode()) for a in inputs.values() if a.dtype.kind == "O" for t in a.ravel().tolist())
    return int((texts + sum(a.nbytes for a in inputs.values() if a.dtype.kind != "O")) / rows) or 1
