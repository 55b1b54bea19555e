"""The detectors see changes soon and do not see what is not there; what they remember is small and plain."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from monitoring.performance.detectors.adwin import Adwin, Bucket
from monitoring.performance.detectors.stream import ADWIN, PAGE_HINKLEY, Stream, WindowValue

Draw = Callable[[np.random.Generator, int], WindowValue]


def accuracy(before: float, after: float, at: int = 100, rows: int = 100) -> Draw:
    def draw(random: np.random.Generator, window: int) -> WindowValue:
        right = float(random.binomial(rows, after if window >= at else before))
        return WindowValue(rows, right, right)

    return draw


def feature(shift: float, at: int = 100, rows: int = 100) -> Draw:
    def draw(random: np.random.Generator, window: int) -> WindowValue:
        values = random.normal(1000 + 10 * (shift if window >= at else 0), 10, rows)
        return WindowValue(rows, float(values.sum()), float((values**2).sum()))

    return draw


def watch(draw: Draw, *, windows: int, seed: int, is_share: bool) -> list[tuple[int, str, float, float]]:
    """Return (window, detector, before, after) of what was seen; the memory goes through JSON each time."""
    random, memory, seen = np.random.default_rng(seed), "{}", []
    for window in range(windows):
        stream = Stream.from_dict(json.loads(memory), is_share=is_share)
        seen += [(window, n, c.before, c.after) for n, c in stream.update(draw(random, window)).items()]
        memory = json.dumps(stream.to_dict())
    return seen


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("rows", [30, 500])
def test_steady_accuracy_alarms_less_than_once_in_a_hundred_windows(level: float, rows: int) -> None:
    seen = [
        s for seed in range(5) for s in watch(accuracy(level, level, rows=rows), windows=300, seed=seed, is_share=True)
    ]
    assert len(seen) <= 15  # 1,500 windows, two detectors


@pytest.mark.parametrize("rows", [30, 500])
def test_a_steady_feature_alarms_less_than_once_in_a_hundred_windows(rows: int) -> None:
    seen = [s for seed in range(5) for s in watch(feature(0, rows=rows), windows=300, seed=seed, is_share=False)]
    assert len(seen) <= 15


@pytest.mark.parametrize(("after", "delay"), [(0.8, 15), (0.7, 6)])
def test_a_fall_of_accuracy_is_seen_soon_by_both(after: float, delay: int) -> None:
    for seed in range(5):
        seen = watch(accuracy(0.9, after), windows=140, seed=seed, is_share=True)
        for detector in (ADWIN, PAGE_HINKLEY):
            first = next(s for s in seen if s[1] == detector)
            assert 100 <= first[0] <= 100 + delay
            assert first[2] == pytest.approx(0.9, abs=0.03)
            assert (
                0.1 < (first[2] - first[3]) / (0.9 - after) < 1.4
            )  # seen so soon that some rows before count as after


@pytest.mark.parametrize(("shift", "delay"), [(0.5, 12), (-0.5, 12), (2.0, 4)])
def test_a_shift_of_a_features_mean_is_seen_soon_by_both(shift: float, delay: int) -> None:
    for seed in range(5):
        seen = watch(feature(shift), windows=140, seed=seed, is_share=False)
        assert {s[1] for s in seen} == {ADWIN, PAGE_HINKLEY}
        for detector in (ADWIN, PAGE_HINKLEY):
            first = next(s for s in seen if s[1] == detector)
            assert 100 <= first[0] <= 100 + delay
            assert 0.1 < (first[3] - first[2]) / (10 * shift) < 1.4


def test_one_wild_window_alone_alarms_nobody() -> None:
    def draw(random: np.random.Generator, window: int) -> WindowValue:
        return WindowValue(100, 1e9, 1e16) if window == 60 else feature(0)(random, window)

    seen = watch(draw, windows=100, seed=0, is_share=False)
    assert not [s for s in seen if s[1] == PAGE_HINKLEY]


def test_windows_with_few_rows_are_put_together() -> None:
    stream = Stream(is_share=True)
    for _ in range(29):
        assert not stream.update(WindowValue(1, 1.0, 1.0))
    assert stream.page_hinkley.count == 0
    stream.update(WindowValue(1, 1.0, 1.0))
    assert (stream.page_hinkley.count, stream.page_hinkley.mean, stream.waiting.rows) == (1, 1.0, 0)


def test_a_constant_feature_that_changes_is_seen() -> None:
    def draw(_: np.random.Generator, window: int) -> WindowValue:
        value = 5.0 if window < 50 else 6.0
        return WindowValue(100, 100 * value, 100 * value**2)

    assert watch(draw, windows=60, seed=0, is_share=False)[0][0] <= 53


def test_what_is_remembered_grows_with_the_logarithm_of_time() -> None:
    stream = Stream(is_share=True)
    random = np.random.default_rng(0)
    draw = accuracy(0.9, 0.9)
    for window in range(5000):
        stream.update(draw(random, window))
    assert len(stream.adwin.buckets) <= 6 * 13
    assert len(json.dumps(stream.to_dict())) < 8000


def test_buckets_hold_the_count_sum_and_variance_of_all_values() -> None:
    random = np.random.default_rng(2)
    values = random.uniform(0.4, 0.6, 500)
    adwin = Adwin()
    for value in values:
        adwin.update(float(value), raw=float(value))
    whole = Bucket()
    for bucket in adwin.buckets:
        whole = whole.plus(bucket)
    assert whole.count == 500
    assert whole.total == pytest.approx(values.sum())
    assert whole.spread == pytest.approx(((values - values.mean()) ** 2).sum())
    sizes = [bucket.entries for bucket in adwin.buckets]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes.count(size) for size in set(sizes)) <= 6
