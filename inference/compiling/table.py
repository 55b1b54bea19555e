"""The table of a pack: how each engine did with one version on one kind of machine, and which serves.

The rule: among the engines that are equal, the highest geometric mean of rows/s over the batch
sizes timed (1, 8, 32), at the best number of threads allowed; the artifact's own engine stays
unless another is at least 5 % faster, which is more than two runs of one engine differ by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from aiplatform.errors import ArtifactCorruptError

TABLE_FILE = "table.json"
BATCH_SIZES = (1, 8, 32)
MIN_GAIN = 1.05


class CandidateState(StrEnum):
    """What became of one engine."""

    EQUAL = "equal"
    UNEQUAL = "unequal"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The time of a call with so many rows and threads: the median of its best turn."""

    threads: int
    rows: int
    ms: float

    @property
    def rows_per_s(self) -> float:
        """Return the throughput of one caller."""
        return self.rows * 1000 / self.ms if self.ms > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One engine; `reason` says why it is not equal, `size_bytes` is that of its files."""

    engine: str
    state: CandidateState
    is_native: bool = False
    reason: str = ""
    max_error: float | None = None
    size_bytes: int = 0
    timings: tuple[Timing, ...] = ()

    def score(self, threads: int) -> float:
        """Return the geometric mean of rows/s with so many threads; 0 if it was not timed."""
        rates = [timing.rows_per_s for timing in self.timings if timing.threads == threads]
        if not rates or min(rates) <= 0:
            return 0.0
        return math.exp(sum(map(math.log, rates)) / len(rates))

    def best_threads(self, allowed: int) -> int:
        """Return the number of threads with the best score; fewer wins a tie."""
        counts = sorted({t.threads for t in self.timings if t.threads <= max(1, allowed)})
        return max(counts, key=self.score, default=1)

    def call_ms(self, threads: int) -> dict[int, float]:
        """Return the time of a call by its number of rows."""
        return {timing.rows: timing.ms for timing in self.timings if timing.threads == threads}


@dataclass(frozen=True, kw_only=True)
class EngineTable:
    """All engines that were tried for one artifact."""

    artifact_digest: str
    machine: str
    tolerance: str
    candidates: tuple[Candidate, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""  # ISO 8601, UTC
    took_s: float = 0.0

    def find(self, engine: str) -> Candidate | None:
        """Return one engine's row."""
        return next((c for c in self.candidates if c.engine == engine), None)

    def fastest(self, allowed_threads: int) -> Candidate | None:
        """Return the engine that serves by the rule; None if none is equal."""
        equal = [c for c in self.candidates if c.state is CandidateState.EQUAL]
        if not equal:
            return None
        scores = {c.engine: c.score(c.best_threads(allowed_threads)) for c in equal}
        best = max(equal, key=lambda c: scores[c.engine])
        native = next((c for c in equal if c.is_native), None)
        if native is not None and scores[best.engine] < MIN_GAIN * scores[native.engine]:
            return native
        return best


def encode_table(table: EngineTable) -> bytes:
    """Return JSON for people and programs."""
    return msgspec.json.format(msgspec.json.encode(table), indent=1)


def decode_table(raw: bytes) -> EngineTable:
    """Rebuild a table.

    Raises: ArtifactCorruptError if it is none.
    """
    try:
        return msgspec.json.decode(raw, type=EngineTable)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactCorruptError(f"{TABLE_FILE} cannot be read: {error}") from error


def sort_candidates(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return the artifact's own engine first, then the others by name."""
    return tuple(sorted(candidates, key=lambda c: (not c.is_native, c.engine)))
