"""What a drift test says. Not enough data is a state of its own, never a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self


class Verdict(StrEnum):
    """The outcome of a test, of a column, of a table."""

    OK = "ok"
    DRIFTED = "drifted"
    NOT_ENOUGH_DATA = "not_enough_data"


class Direction(StrEnum):
    """Which way a column has moved. Empty: it has not, or nobody can say."""

    NONE = ""
    UP = "up"
    DOWN = "down"
    SHAPE = "shape"
    NEW_CATEGORIES = "new_categories"
    MISSING = "missing"  # more or fewer missing values than in the baseline


@dataclass(frozen=True, kw_only=True)
class DriftLimits:
    """When a statistic is drift: it is as large as its threshold, and hardly chance.

    `significance` is the false-discovery level over all columns of a table (Benjamini-Hochberg).
    A baseline of at most `small_baseline` rows is judged by KS or chi-square, a larger one by
    Wasserstein or Jensen-Shannon; PSI decides beside either.
    """

    psi_threshold: float = 0.1
    ks_threshold: float = 0.05
    wasserstein_threshold: float = 0.1
    js_threshold: float = 0.05
    significance: float = 0.001
    dataset_share: float = 0.5
    small_baseline: int = 1000
    min_samples: int = 100


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """One test of one column. `statistic` and the p-values are None with too little data.

    `test` is 'psi', 'ks', 'wasserstein', 'js', 'chi2' or 'mmd'. `p_value` is the test's own, None
    where it has none. The verdict of a deciding test: the statistic is at least the threshold and
    the column is significant; of another test it is only told.
    """

    __test__ = False  # not a test case

    test: str
    statistic: float | None
    threshold: float
    p_value: float | None
    baseline_samples: int
    window_samples: int
    verdict: Verdict
    is_deciding: bool = False
    direction: Direction = Direction.NONE


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The shares of baseline and window in the same bins, each adding up to 1."""

    bins: tuple[str, ...] = ()
    baseline: tuple[float, ...] = ()
    window: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """All tests of one feature or output."""

    column: str
    kind: str  # 'numeric' or 'category'
    tests: tuple[TestResult, ...]
    verdict: Verdict
    distribution: Distribution = field(default_factory=Distribution)
    p_value: float | None = None  # of the column: its tests' together
    adjusted_p_value: float | None = None  # by Benjamini-Hochberg over all columns of the table
    direction: Direction = Direction.NONE
    new_categories: tuple[str, ...] = ()  # the most frequent that the baseline does not have
    missing_share: float | None = None  # of the window
    baseline_missing_share: float | None = None
    distinct: int | None = None  # of the window's categories, estimated

    def find_test(self, name: str) -> TestResult | None:
        """Return the result of a test; None if it does not apply to this kind of column."""
        return next((result for result in self.tests if result.test == name), None)

    @property
    def deciding(self) -> tuple[TestResult, ...]:
        """Return the tests that decide the verdict, the one that speaks loudest for drift first."""
        found = [result for result in self.tests if result.is_deciding]
        return tuple(sorted(found, key=lambda result: (result.statistic or 0.0) / result.threshold, reverse=True))

    def statistic(self, name: str) -> float | None:
        """Return the statistic of a test, if there is one."""
        result = self.find_test(name)
        return result.statistic if result else None


@dataclass(frozen=True, kw_only=True)
class DriftTable:
    """All columns of a window against the baseline. `reason` says why there is no verdict.

    `verdict` is drifted if any column is. `dataset_verdict` is drifted if `drifted_share`, the share
    of the judged features that drifted, is at least the limits' `dataset_share`. `embedding` has a column for each
    dimension, judged apart from the others and not in that share; `vectors` is the test of whole embeddings, where
    some are kept.
    """

    verdict: Verdict
    has_baseline: bool
    reason: str = ""
    features: tuple[ColumnDrift, ...] = ()
    predictions: tuple[ColumnDrift, ...] = ()
    embedding: tuple[ColumnDrift, ...] = ()
    vectors: TestResult | None = None
    dataset_verdict: Verdict = Verdict.NOT_ENOUGH_DATA
    drifted_share: float | None = None
    drifted_count: int = 0
    judged_count: int = 0
    dataset_share: float = 0.5

    @property
    def embedding_verdict(self) -> Verdict:
        """Return what the embedding says: drifted if a dimension is, or all of it together."""
        together = () if self.vectors is None else (self.vectors.verdict,)
        return combine_verdicts([*(column.verdict for column in self.embedding), *together])

    def with_vectors(self, result: TestResult) -> Self:
        """Return the table with a test of the embeddings as vectors."""
        return replace(self, vectors=result, verdict=combine_verdicts([self.verdict, result.verdict]))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return asdict(self)


def combine_verdicts(verdicts: Iterable[Verdict]) -> Verdict:
    """Return drifted if any is, else ok if any is, else not enough data."""
    found = set(verdicts)
    for verdict in (Verdict.DRIFTED, Verdict.OK):
        if verdict in found:
            return verdict
    return Verdict.NOT_ENOUGH_DATA


def judge(statistic: float, threshold: float, p_value: float, significance: float) -> Verdict:
    """Return drifted if the statistic is large and not chance, else ok."""
    return Verdict.DRIFTED if statistic >= threshold and p_value < significance else Verdict.OK
