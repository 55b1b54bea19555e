"""What became of each request of a load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

NO_ANSWER = "no answer"


@dataclass(slots=True)
class Outcome:
    """One request: when it began (time.monotonic), how long it took, and the status or what went wrong."""

    began_s: float
    took_s: float
    status: str
    version: str = ""


@dataclass
class Outcomes:
    """All requests of a load."""

    all: list[Outcome] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[str]:
        """Return how many requests had which status."""
        return Counter(outcome.status for outcome in self.all)

    @property
    def failures(self) -> int:
        """Return how many were not answered with 200."""
        return sum(outcome.status != "200" for outcome in self.all)

    def latencies_ms(self, statuses: Iterable[str] = ("200",)) -> list[float]:
        """Return the latencies of requests with one of the statuses, in order of size."""
        wanted = set(statuses)
        return sorted(outcome.took_s * 1000 for outcome in self.all if outcome.status in wanted)

    def good_between(self, begin_s: float, end_s: float) -> int:
        """Return how many answers with 200 came within a time."""
        return sum(o.status == "200" and begin_s <= o.began_s + o.took_s < end_s for o in self.all)


def quantile(ordered: list[float], share: float) -> float:
    """Return a quantile of values in order; NaN if there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
