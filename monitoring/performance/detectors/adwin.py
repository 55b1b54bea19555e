"""ADWIN: an adaptive window that forgets its older part as soon as it differs from the newer one.

Source: Bifet and Gavalda, Learning from Time-Changing Data with Adaptive Windowing (SDM 2007), sections 3
and 4: an exponential histogram of at most `MAX_BUCKETS` buckets of 2^i entries each, and the cut

    |mean0 - mean1| > sqrt(2/m s^2 ln(2 ln(n)/delta)) + 2/(3m) ln(2 ln(n)/delta),  1/m = 1/n0 + 1/n1

with s^2 the variance of the whole window. Memory grows with the logarithm of the window's length. An
entry here is not one value but many, with their mean and variance: n counts values, and a cut is looked for
between entries.
(`river` has the same algorithm; its state is a compiled object that only pickle can store, and a pickle
does not outlive a release.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_BUCKETS = 5
MIN_SIDE = 25.0  # values on each side of a cut


@dataclass(frozen=True)
class Bucket:
    """The values of one stretch: how many, their sum, their sum of squared distances from their mean.

    `raw` is the sum of the values in the stream's own unit, for telling people; `entries` says of how many it is made.
    """

    count: float = 0.0
    total: float = 0.0
    spread: float = 0.0
    raw: float = 0.0
    entries: int = 1

    def plus(self, other: Bucket) -> Bucket:
        """Return both as one (Chan, Golub and LeVeque, 1983)."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        distance = self.total / self.count - other.total / other.count
        spread = self.spread + other.spread + distance * distance * self.count * other.count / count
        return Bucket(count, self.total + other.total, spread, self.raw + other.raw, self.entries + other.entries)


@dataclass(frozen=True)
class Change:
    """The stream's mean before and after, in its own unit."""

    before: float
    after: float


@dataclass
class Adwin:
    """`delta` bounds the chance of a false cut. Values must lie in 0 to 1."""

    delta: float = 0.002
    buckets: list[Bucket] = field(default_factory=list)  # the oldest first; sizes fall

    def update(self, mean: float, *, count: float = 1.0, variance: float = 0.0, raw: float = 0.0) -> Change | None:
        """Take the next values, as many as `count`; return the change if the older ones were cut off."""
        self.buckets.append(Bucket(count, count * mean, count * variance, count * raw))
        self._compress()
        dropped = Bucket()
        while (cut := self._find_cut()) is not None:
            for bucket in self.buckets[:cut]:
                dropped = dropped.plus(bucket)
            del self.buckets[:cut]
        if not dropped.count:
            return None
        kept = _sum(self.buckets)
        return Change(before=dropped.raw / dropped.count, after=kept.raw / kept.count)

    def to_list(self) -> list[list[float]]:
        """Return what is remembered."""
        return [[b.count, b.total, b.spread, b.raw, b.entries] for b in self.buckets]

    @classmethod
    def from_list(cls, state: list[list[float]]) -> Adwin:
        """Rebuild from `to_list`."""
        return cls(buckets=[Bucket(b[0], b[1], b[2], b[3], int(b[4])) for b in state])

    def _compress(self) -> None:
        """Join the two oldest buckets of a size of which there are too many; their size may then have too many."""
        end, size = len(self.buckets), 1
        while end:
            start = end
            while start and self.buckets[start - 1].entries == size:
                start -= 1
            if end - start <= MAX_BUCKETS:
                return
            self.buckets[start : start + 2] = [self.buckets[start].plus(self.buckets[start + 1])]
            end, size = start + 1, size * 2

    def _find_cut(self) -> int | None:
        """Return before which bucket the window is to be cut: where both sides differ most, measured by chance."""
        whole = _sum(self.buckets)
        if whole.count < 2 * MIN_SIDE:
            return None
        variance = whole.spread / whole.count
        best, found = 1.0, None
        log_term = math.log(2 * math.log(whole.count) / self.delta)
        for place, older in self._prefixes():
            newer_count = whole.count - older.count
            if min(older.count, newer_count) < MIN_SIDE:
                continue
            inverse = 1 / older.count + 1 / newer_count
            limit = math.sqrt(2 * inverse * variance * log_term) + 2 / 3 * inverse * log_term
            difference = abs(older.total / older.count - (whole.total - older.total) / newer_count)
            if difference > best * limit:
                best, found = difference / limit, place
        return found

    def _prefixes(self) -> Iterator[tuple[int, Bucket]]:
        older = Bucket()
        for place, bucket in enumerate(self.buckets, 1):
            older = older.plus(bucket)
            yield place, older


def _sum(buckets: list[Bucket]) -> Bucket:
    total = Bucket()
    for bucket in buckets:
        total = total.plus(bucket)
    return total
