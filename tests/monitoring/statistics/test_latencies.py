"""Latencies take less than 1 KiB of a window, whatever they were, and their percentiles are as exact as is said."""

from __future__ import annotations

from collections.abc import Callable

import datasketches
import numpy as np
import pytest

from monitoring.latencies import (
    LatencySketch,
    add_latencies,
    new_latency,
    pack_latency,
    read_latency,
    union_latencies,
)
from monitoring.models import Window
from monitoring.windows import WindowContent

KIBIBYTE = 1024
ROUNDING = 2.0**-10
K_200_ERROR = 0.0133  # normalized rank error, single-sided
LATENCIES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "quick": lambda r, n: r.gamma(2.0, 0.3, n),
    "with a long tail": lambda r, n: r.lognormal(2.0, 1.5, n),
    "of two kinds": lambda r, n: np.where(r.random(n) < 0.3, r.normal(900, 50, n), r.normal(3, 0.2, n)),
    "from a microsecond to an hour": lambda r, n: 10.0 ** r.uniform(-3, 6.5, n),
    "all alike": lambda r, n: np.full(n, 4.2),
}


def sketch_of(latencies_ms: np.ndarray) -> LatencySketch:
    sketch = new_latency()
    add_latencies(sketch, latencies_ms)
    return sketch


@pytest.mark.parametrize("count", [1, 2, 200, 3000, 40_000, 1_000_000])
@pytest.mark.parametrize("kind", LATENCIES)
def test_a_window_s_latencies_take_less_than_a_kibibyte_and_come_back(kind: str, count: int) -> None:
    latencies = LATENCIES[kind](np.random.default_rng(count), count)
    sketch = sketch_of(latencies)
    raw = pack_latency(sketch)
    assert len(raw) < KIBIBYTE
    back = read_latency(raw)
    assert (back.n, back.k) == (count, 200), "no sketch of latencies had to be made coarser"
    ranks = [0.0, 0.5, 0.95, 0.99, 1.0]
    assert back.get_quantiles(ranks) == sketch.get_quantiles(ranks)
    assert pack_latency(back) == raw, "once packed, nothing more is lost"


@pytest.mark.parametrize("kind", LATENCIES)
def test_a_day_of_packed_minutes_has_the_percentiles_of_its_latencies_within_the_stated_error(kind: str) -> None:
    minutes = [LATENCIES[kind](np.random.default_rng(minute), 2000) for minute in range(150)]
    union = union_latencies(pack_latency(sketch_of(minute)) for minute in minutes)
    exact = np.sort(np.concatenate(minutes))
    assert union.n == exact.size
    assert union.normalized_rank_error(False) == pytest.approx(K_200_ERROR, abs=1e-3), "the union knows what it is of"
    for rank in (0.5, 0.95, 0.99):
        said = union.get_quantile(rank)
        low = exact[int(max(0.0, rank - K_200_ERROR) * exact.size)]
        high = exact[int(min(0.999_999, rank + K_200_ERROR) * exact.size)]
        assert low * (1 - ROUNDING) <= said <= high * (1 + ROUNDING)


def test_milliseconds_are_rounded_by_a_tenth_of_a_percent_at_most_and_stay_in_order() -> None:
    latencies = np.sort(np.random.default_rng(0).lognormal(1, 3, 150))
    found = [sketch_of(np.array([value])).get_quantile(0.5) for value in latencies]
    assert found == pytest.approx(latencies.tolist(), rel=ROUNDING)
    assert found == sorted(found)


def test_what_is_not_finite_is_left_out_and_nothing_takes_no_byte() -> None:
    assert sketch_of(np.array([np.nan, np.inf, 2.0, -np.inf])).n == 1
    assert pack_latency(sketch_of(np.array([np.nan]))) == b""
    assert read_latency(b"").is_empty()


@pytest.mark.parametrize("count", [0, 1, 50, 100_000])
def test_a_row_written_with_doubles_is_still_read_and_small_once_written_again(count: int) -> None:
    latencies = np.random.default_rng(count).lognormal(2.0, 1.5, count)
    old = datasketches.kll_doubles_sketch(200)
    old.update(latencies)
    content = WindowContent.read_from(Window(latency=old.serialize()))
    assert content.latency.n == count
    if count:
        ranks = [0.5, 0.99]
        assert content.latency.get_quantiles(ranks) == pytest.approx(old.get_quantiles(ranks), rel=ROUNDING)
    more = WindowContent()
    add_latencies(more.latency, np.array([7.0]))
    content.merge(more)
    row = Window()
    content.write_to(row)
    assert len(row.latency) < KIBIBYTE
    assert WindowContent.read_from(row).latency.n == count + 1
