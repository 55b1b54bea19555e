"""Which rows' features are computed: all of a quiet version's, an even sample of a busy one's.

Features are the dear part of recording, and what they are for, distributions, is as well known from a
thousand rows a second as from all. Counts, latencies and predictions are not sampled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

PERIOD_S = 1.0  # over which a version's rows are counted

Array = np.ndarray[Any, Any]


class WatchedRows:
    """Chooses rows so that about `rows_per_s` of each version are watched; 0: all. Not for several threads at once.

    The share follows from how many rows came in the last second in which any came, so the first second of a burst is
    watched whole. Each row is chosen by chance of its own: whoever sends in a rhythm is seen like any other.
    """

    def __init__(
        self, rows_per_s: int, *, clock: Callable[[], float] = time.monotonic, seed: int | None = None
    ) -> None:
        self._rows_per_s = rows_per_s
        self._clock = clock
        self._dice = np.random.default_rng(seed)
        self._since = clock()
        self._counts: dict[Hashable, int] = {}
        self._shares: dict[Hashable, float] = {}  # of versions of which not all rows are watched

    def count(self, version: Hashable, rows: int) -> None:
        """Note that rows of a version have come."""
        passed_s = self._clock() - self._since
        if passed_s >= PERIOD_S:
            self._begin_period(passed_s)
        self._counts[version] = self._counts.get(version, 0) + rows

    def choose(self, version: Hashable, rows: int) -> Array | None:
        """Return which of some rows of a version are watched, places in rising order; None for all of them."""
        share = self._shares.get(version)
        if share is None:
            return None
        chosen: Array = np.flatnonzero(self._dice.random(rows) < share)
        return chosen

    def _begin_period(self, passed_s: float) -> None:
        self._since += passed_s
        affordable = self._rows_per_s * passed_s
        if affordable:
            self._shares = {version: affordable / rows for version, rows in self._counts.items() if rows > affordable}
        self._counts = {}
