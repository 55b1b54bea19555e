"""The values that an alert's chart shows: a bounded list of [seconds since the epoch, value]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

Sample = list[float | None]

RECENT = 60  # samples that a target keeps: what led to an alert
LONGEST = 400  # samples that an alert keeps; beyond, every second one of the older half goes


def append_recent(samples: Sequence[Sample], at: datetime, value: float | None) -> list[Sample]:
    """Return the newest samples with one more."""
    return [*samples, _sample(at, value)][-RECENT:]


def append_thinned(samples: Sequence[Sample], at: datetime, value: float | None) -> list[Sample]:
    """Return all samples with one more; a long list gets coarser where it is old."""
    longer = [*samples, _sample(at, value)]
    if len(longer) <= LONGEST:
        return longer
    half = len(longer) // 2
    return longer[:half:2] + longer[half:]


def _sample(at: datetime, value: float | None) -> Sample:
    return [round(at.timestamp(), 1), value if value is not None and math.isfinite(value) else None]
