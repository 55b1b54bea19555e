"""Recorded requests as arrays again, the newest first: what a replay sends through another version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

Arrays = dict[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True, kw_only=True)
class StoredRequest:
    """One row of one answered request.

    Shapes: every array of `inputs` and `outputs` has one row, (1, ...), with the type it had on the wire.
    `label` or `value` is the truth, if it is known.
    """

    prediction_id: str
    row: int
    time_s: float
    version: int
    inputs: Arrays
    outputs: Arrays
    label: str | None
    value: float | None


def read_requests(
    endpoint: str, *, version: int | None = None, limit: int, before: datetime | None = None
) -> list[StoredRequest]:
    """Return up to `limit` answered rows whose inputs were kept whole, the newest first.

    Rows with redacted or hashed features are left out: a model cannot be asked them again.
    `before` leaves out what is not older. Empty where nothing is stored.
    Raises: ArtifactError if the store cannot be read.
    """
    raise NotImplementedError
