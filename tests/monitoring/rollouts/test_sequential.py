"""The sequential test keeps its promise under continuous looking, and finds what is bad soon."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from monitoring.rollouts.sequential import Arm, log_evidence_of_harm, log_evidence_of_safety

ALPHA = 0.05
LIMIT = math.log(1 / ALPHA)
RUNS = 400


def first_alarm(champion: np.ndarray, challenger: np.ndarray, *, every: int = 5, margin: float = 0.0) -> int | None:
    """Return after how many of the challenger's events an alarm comes, looking every few; None: never."""
    a, b = np.cumsum(champion), np.cumsum(challenger)
    for n in range(every, len(b) + 1, every):
        evidence = log_evidence_of_harm(
            Arm(trials=n, hits=float(a[n - 1])), Arm(trials=n, hits=float(b[n - 1])), margin=margin
        )
        if evidence >= LIMIT:
            return n
    return None


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.9])
def test_equal_versions_are_accused_no_more_often_than_alpha_however_often_one_looks(share: float) -> None:
    random = np.random.default_rng(7)
    alarms = sum(first_alarm(random.random(600) < share, random.random(600) < share) is not None for _ in range(RUNS))
    assert alarms / RUNS <= ALPHA


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "skewed"])
def test_equal_losses_of_any_distribution_are_no_harm_either(kind: str) -> None:
    draw = np.random.default_rng(11)
    draws: dict[str, Callable[[], np.ndarray]] = {
        "normal": lambda: np.abs(draw.normal(0, 0.31, 600)),
        "heavy tails": lambda: 0.2 * np.abs(draw.standard_cauchy(600)),
        "skewed": lambda: draw.beta(0.2, 0.8, 600),
    }
    losses = [[np.minimum(draws[kind](), 1.0) for _ in range(2)] for _ in range(RUNS)]
    assert sum(first_alarm(*pair) is not None for pair in losses) / RUNS <= ALPHA


def test_errors_of_twice_the_size_are_found_soon() -> None:
    draw = np.random.default_rng(12)
    found = [
        first_alarm(*(np.minimum(np.abs(draw.normal(0, size, 600)), 1.0) for size in (0.31, 0.62)), margin=0.02)
        for _ in range(100)
    ]
    assert all(found)
    assert np.median([n for n in found if n]) <= 250


def test_a_difference_within_the_margin_is_no_harm() -> None:
    random = np.random.default_rng(8)
    alarms = sum(
        first_alarm(random.random(600) < 0.05, random.random(600) < 0.07, margin=0.02) is not None for _ in range(RUNS)
    )
    assert alarms / RUNS <= ALPHA


def test_the_arms_may_take_turns_as_the_data_suggest() -> None:
    """A share of traffic that follows what was seen so far cannot buy an alarm."""
    random, alarms = np.random.default_rng(9), 0
    for _ in range(RUNS):
        n, hits = [1, 1], [0, 0]
        for _ in range(400):
            arm = int(hits[1] / n[1] > hits[0] / n[0])  # more of what looks bad
            n[arm] += 1
            hits[arm] += int(random.random() < 0.1)
            if log_evidence_of_harm(Arm(trials=n[0], hits=hits[0]), Arm(trials=n[1], hits=hits[1])) >= LIMIT:
                alarms += 1
                break
    assert alarms / RUNS <= ALPHA


def test_a_challenger_that_only_fails_is_found_within_ten_requests() -> None:
    zeros, ones = np.zeros(100), np.ones(100)
    found = first_alarm(zeros, ones, every=1)
    assert found is not None
    assert found <= 10


@pytest.mark.parametrize(("good", "bad", "most"), [(0.01, 0.2, 120), (0.05, 0.3, 120), (0.1, 0.5, 60)])
def test_a_clear_regression_is_found_soon(good: float, bad: float, most: int) -> None:
    random = np.random.default_rng(10)
    found = [first_alarm(random.random(600) < good, random.random(600) < bad) for _ in range(100)]
    assert all(found)
    assert np.median([n for n in found if n]) <= most


def test_safety_is_proven_only_against_a_margin_and_with_enough_data() -> None:
    few = log_evidence_of_safety(Arm(trials=20, hits=1), Arm(trials=20, hits=1), margin=0.05)
    many = log_evidence_of_safety(Arm(trials=2000, hits=100), Arm(trials=2000, hits=100), margin=0.05)
    assert few < LIMIT < many


def test_nothing_seen_is_no_evidence() -> None:
    nothing = Arm(trials=0, hits=0)
    assert nothing.share is None
    assert log_evidence_of_harm(nothing, nothing) == 0.0
    assert log_evidence_of_harm(Arm(trials=9, hits=0), nothing) <= 0.0
    with pytest.raises(ValueError, match="3 of 2"):
        Arm(trials=2, hits=3)


def test_the_greatest_likelihood_on_the_boundary_is_the_greatest() -> None:
    from monitoring.rollouts import sequential

    champion, challenger = Arm(trials=40, hits=3), Arm(trials=25, hits=12)
    found = sequential._log_sup(champion, challenger, 0.1, is_harmless=True)
    grid = [
        sequential._log_likelihood(champion, p) + sequential._log_likelihood(challenger, p + 0.1)
        for p in np.linspace(1e-6, 0.9 - 1e-6, 20_001)
    ]
    assert found == pytest.approx(max(grid), abs=1e-6)
