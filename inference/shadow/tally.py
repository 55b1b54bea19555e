"""Counts how a challenger's answers compare with the champion's, until monitoring has taken them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from aiplatform.contracts.monitoring import ShadowComparison
from aiplatform.features import predicted_columns
from aiplatform.latency_buckets import COUNT, bucket_of
from inference.engines import Arrays

ERROR_LENGTH = 500


class Pair(NamedTuple):
    """Who is compared with whom."""

    endpoint: str
    champion: int
    challenger: int


@dataclass
class _Counts:
    since_s: float
    requests: int = 0
    errors: int = 0
    dropped: int = 0
    rows: int = 0
    labelled_rows: int = 0
    agreed_rows: int = 0
    valued_rows: int = 0
    difference_sum: float = 0.0
    champion_latencies: list[int] = field(default_factory=lambda: [0] * COUNT)
    challenger_latencies: list[int] = field(default_factory=lambda: [0] * COUNT)
    last_error: str = ""


class Tally:
    """Counts by pair; any thread may count, one takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Pair, _Counts] = {}

    def count_answer(
        self,
        pair: Pair,
        outputs: Arrays,
        answered: Arrays,
        labels: Sequence[Sequence[str]],
        latencies_ms: Sequence[float],
    ) -> None:
        """Compare the champion's `outputs` with what the challenger `answered`, row by row.

        `labels` and `latencies_ms` are the champion's, then the challenger's. Raises: ValueError if the
        answers have different numbers of rows.
        """
        found = compare_outputs(outputs, answered, labels[0], labels[1])
        with self._lock:
            counts = self._of(pair)
            counts.requests += 1
            counts.rows += found.rows
            counts.labelled_rows += found.labelled
            counts.agreed_rows += found.agreed
            counts.valued_rows += found.valued
            counts.difference_sum += found.difference_sum
            counts.champion_latencies[bucket_of(latencies_ms[0])] += 1
            counts.challenger_latencies[bucket_of(latencies_ms[1])] += 1

    def count_error(self, pair: Pair, message: str) -> None:
        """Count a request that the challenger failed."""
        with self._lock:
            counts = self._of(pair)
            counts.requests += 1
            counts.errors += 1
            counts.last_error = message[:ERROR_LENGTH]

    def count_dropped(self, pair: Pair) -> None:
        """Count a copy that was not run."""
        with self._lock:
            self._of(pair).dropped += 1

    def take(self, *, replica: str) -> list[ShadowComparison]:
        """Return what was counted since the last time, and begin anew."""
        with self._lock:
            counts, self._counts = self._counts, {}
        now_s = time.time()
        return [
            ShadowComparison(
                batch_id=uuid.uuid4().hex, replica=replica, **pair._asdict(), until_s=now_s, **_plain(found),
            )
            for pair, found in counts.items()
        ]  # fmt: skip

    def _of(self, pair: Pair) -> _Counts:
        return self._counts.setdefault(pair, _Counts(since_s=time.time()))


class Likeness(NamedTuple):
    """How two answers to the same rows compare."""

    rows: int
    labelled: int
    agreed: int
    valued: int
    difference_sum: float


def compare_outputs(
    first: Arrays, second: Arrays, first_labels: Sequence[str], second_labels: Sequence[str]
) -> Likeness:
    """Compare two versions' outputs row by row: labels by name, numbers by distance.

    Raises: ValueError if they have different numbers of rows, or one says a label and the other a number.
    """
    one, other = predicted_columns(first, first_labels), predicted_columns(second, second_labels)
    if one.codes is not None and other.codes is not None:
        mine = np.array(one.texts, dtype=object)[one.codes]
        theirs = np.array(other.texts, dtype=object)[other.codes]
        _require_rows(len(mine), len(theirs))
        return Likeness(len(mine), len(mine), int(np.count_nonzero(mine == theirs)), 0, 0.0)
    if one.values is not None and other.values is not None:
        _require_rows(len(one.values), len(other.values))
        difference = float(np.abs(one.values - other.values).sum())
        return Likeness(len(one.values), 0, 0, len(one.values), difference)
    raise ValueError("one version answers with a label, the other with a number")


def _require_rows(mine: int, theirs: int) -> None:
    if mine != theirs:
        raise ValueError(f"the champion answered {mine} rows, the challenger {theirs}")


def _plain(counts: _Counts) -> dict[str, Any]:
    return {
        **vars(counts),
        "champion_latencies": tuple(counts.champion_latencies),
        "challenger_latencies": tuple(counts.challenger_latencies),
    }
