"""Maximum mean discrepancy: have vectors, such as embeddings, moved? A permutation test on samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitoring.drift.results import Direction, TestResult, Verdict

PERMUTATIONS = 999
LEAST_SIGNIFICANCE = 1 / (PERMUTATIONS + 1)  # less cannot be told by so many permutations
MAX_ROWS = 500  # of each side; the kernel's matrix has (n + m)^2 entries
Array = np.ndarray[Any, Any]


def run_mmd_test(
    baseline: Array, window: Array, *, significance: float, min_samples: int = 50, seed: int = 0
) -> TestResult:
    """Return whether vectors come from another distribution than the baseline's.

    Shapes: (n, d) and (m, d). A side of more than MAX_ROWS is sampled. The threshold is the statistic
    that chance reaches with `significance`; below LEAST_SIGNIFICANCE nothing is ever significant.
    Source: Gretton, Borgwardt, Rasch, Schölkopf, Smola, J. Machine Learning Research 13 (2012).
    """
    random = np.random.default_rng(seed)
    left, right = (_sample(side, random) for side in (baseline, window))
    statistic = threshold = p_value = None
    verdict = Verdict.NOT_ENOUGH_DATA
    if min(len(left), len(right)) >= min_samples:
        statistic, by_chance = mean_discrepancies(left, right, random)
        p_value = (1 + int(np.sum(by_chance >= statistic))) / (len(by_chance) + 1)
        threshold = float(np.quantile(by_chance, 1 - significance))
        verdict = Verdict.DRIFTED if p_value <= significance and statistic > threshold else Verdict.OK
    return TestResult(
        test="mmd", statistic=statistic, threshold=threshold or 0.0, p_value=p_value,
        baseline_samples=len(baseline), window_samples=len(window), verdict=verdict, is_deciding=True,
        direction=Direction.SHAPE if verdict is Verdict.DRIFTED else Direction.NONE,
    )  # fmt: skip


def mean_discrepancies(left: Array, right: Array, random: np.random.Generator) -> tuple[float, Array]:
    """Return the discrepancy of two samples and those of PERMUTATIONS random divisions of all their rows.

    The biased estimate, the distance of the two means in the space of a Gaussian kernel whose width
    is the median distance of two rows. Shapes: (n, d), (m, d); (PERMUTATIONS,).
    """
    rows = np.concatenate([left, right]).astype(np.float64)
    kernel = _gaussian_kernel(rows)
    weights = np.concatenate([np.full(len(left), 1 / len(left)), np.full(len(right), -1 / len(right))])
    shuffled = random.permuted(np.tile(weights, (PERMUTATIONS, 1)), axis=1)
    every = np.concatenate([weights[None], shuffled])  # (1 + PERMUTATIONS, n + m)
    squares = np.einsum("ij,ij->i", every @ kernel, every)
    found = np.sqrt(np.maximum(0.0, squares))
    return float(found[0]), found[1:]


def _gaussian_kernel(rows: Array) -> Array:
    """Return exp(-|x - y|^2 / (2 median^2)) of all pairs, shape (n, n)."""
    norms = np.sum(rows * rows, axis=1)
    squares = np.maximum(0.0, norms[:, None] + norms - 2.0 * rows @ rows.T)
    median = float(np.median(squares[np.triu_indices(len(rows), 1)]))
    kernel: Array = np.exp(-squares / (2.0 * median)) if median > 0 else (squares <= 0).astype(np.float64)
    return kernel


def _sample(rows: Array, random: np.random.Generator) -> Array:
    return rows if len(rows) <= MAX_ROWS else rows[random.choice(len(rows), MAX_ROWS, replace=False)]
