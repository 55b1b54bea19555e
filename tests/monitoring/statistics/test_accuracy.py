"""The interval of a share is Wilson's."""

import pytest
from scipy.stats import binomtest

from monitoring.accuracy import realised_accuracy, wilson_interval


@pytest.mark.parametrize("successes,trials", [(0, 1), (1, 1), (9, 10), (50, 100), (980, 1000)])
def test_the_interval_is_scipys(successes: int, trials: int) -> None:
    exact = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_without_labels_nothing_is_claimed() -> None:
    found = realised_accuracy(labelled=0, correct=0, predictions=10)
    assert (found.value, found.low, found.coverage) == (None, None, 0.0)
