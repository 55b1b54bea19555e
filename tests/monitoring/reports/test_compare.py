"""Two versions side by side: better, worse, no difference to tell, not enough data; and never by chance too often."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from aiplatform.errors import NotFoundError
from aiplatform.http.codec import encode_message
from monitoring.accuracy import wilson_interval
from monitoring.drift.results import Verdict
from monitoring.performance.results import Estimate
from monitoring.reports.compare import Comparison, Difference, Side, compare_versions, comparison_to_dict, difference_of
from monitoring.reports.compare_page import comparison_html
from monitoring.selectors import Period
from tests.monitoring.factories import NOW
from tests.monitoring.reports.scenes import Scene

pytestmark = pytest.mark.long

ONE, TWO = Side(endpoint="digits", version=1), Side(endpoint="digits", version=2)


def compare() -> Comparison:
    return compare_versions(ONE, TWO, Period(start=NOW - timedelta(hours=1), end=NOW), now=NOW)


def verdicts(found: Comparison) -> dict[str, Difference]:
    return {measure.name: measure.verdict for measure in found.measures}


def share(successes: int, trials: int) -> Estimate:
    low, high = wilson_interval(successes, trials)
    return Estimate(value=successes / trials, low=low, high=high, samples=trials)


def test_the_difference_of_shares_is_newcombes() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table II: 56/70 against 48/80, by method 10."""
    found = difference_of(share(48, 80), share(56, 70))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=0.0001)


def test_more_comparisons_widen_the_interval() -> None:
    one, many = (difference_of(share(48, 80), share(56, 70), comparisons=n) for n in (1, 10))
    assert many.low is not None
    assert one.low is not None
    assert many.low < 0 < one.low


def test_like_versions_are_told_apart_too_seldom_to_notice() -> None:
    random, apart = np.random.default_rng(1), 0
    for _ in range(2000):
        first, second = (share(int(random.binomial(400, 0.1)), 400) for _ in range(2))
        found = difference_of(first, second)
        apart += not (found.low or 0) <= 0 <= (found.high or 0)
    assert 0.03 < apart / 2000 < 0.07  # 5% is what 95% promises


@pytest.mark.django_db
def test_a_worse_version_is_worse_where_it_is_worse(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.record(now=NOW, version=1)
    scene.record(now=NOW, version=2, right=0.7, latency_ms=9.0)
    found = compare()
    assert found.verdict is Difference.WORSE
    assert found.headline.startswith("Version 2 is worse than version 1 in p50 latency, p95 latency, p99 latency and ")
    by_name = verdicts(found)
    assert by_name["accuracy"] is Difference.WORSE
    assert by_name["p95 latency"] is Difference.WORSE
    assert by_name["error rate"] is Difference.SAME
    assert found.same_inputs is Verdict.OK
    assert encode_message(comparison_to_dict(found))


@pytest.mark.django_db
def test_a_better_version_is_better_and_like_ones_are_not_told_apart(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.record(now=NOW, version=1, errors=0.05)
    scene.record(now=NOW, version=2, errors=0.0)
    found = compare()
    assert (found.verdict, verdicts(found)["error rate"]) == (Difference.BETTER, Difference.BETTER)
    same = compare_versions(ONE, ONE, Period(start=NOW - timedelta(hours=1), end=NOW), now=NOW)
    assert same.verdict is Difference.SAME
    assert same.headline == "No difference to tell between version 1 and version 1"


@pytest.mark.django_db
def test_too_little_data_says_how_much_more_is_needed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.record(now=NOW, version=1)
    scene.record(now=NOW, version=2, minutes=1, rows=40, labelled=0.1)
    found = compare()
    assert found.verdict is Difference.NOT_ENOUGH_DATA
    assert found.headline == "Not enough data to compare version 1 with version 2"
    missing = {measure.name: measure.missing for measure in found.measures}
    assert missing["error rate"] == 60
    assert missing["accuracy"] > 0


@pytest.mark.django_db
def test_versions_that_saw_other_data_are_compared_with_a_warning(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.record(now=NOW, version=1)
    scene.record(now=NOW, version=2, shift=30)
    found = compare()
    assert found.same_inputs is Verdict.DRIFTED
    assert "did not see the same data (" in found.inputs_text
    assert found.inputs_text in comparison_html(found)


@pytest.mark.django_db
def test_a_version_without_predictions_cannot_be_compared(tmp_path: Path) -> None:
    Scene(tmp_path).record(now=NOW, minutes=1)
    with pytest.raises(NotFoundError, match="version 2"):
        compare()
