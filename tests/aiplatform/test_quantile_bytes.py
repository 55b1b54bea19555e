"""A quantile sketch in few bytes is the same sketch again, whatever went in."""

from __future__ import annotations

from collections.abc import Callable

import datasketches
import numpy as np
import pytest

from aiplatform.quantile_bytes import (
    MAX_SKETCH_BYTES,
    WINDOW_K,
    kept_values,
    pack_sketch,
    round_numbers,
    to_window_sketch,
    unpack_sketch,
)

VALUES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda r, n: r.normal(size=n),
    "uniform": lambda r, n: r.random(n),
    "heavy tail": lambda r, n: r.standard_cauchy(n),
    "of every size": lambda r, n: r.normal(size=n) * 10.0 ** r.integers(-37, 38, n),
    "beyond floats": lambda r, n: r.normal(size=n) * 1e300,
    "below floats": lambda r, n: r.normal(size=n) * 1e-44,
    "whole": lambda r, n: r.poisson(3, n).astype(float),
    "constant": lambda r, n: np.full(n, -2.5),
    "zeros of both signs": lambda r, n: r.choice([0.0, -0.0], n),
}


def sketch_of(values: np.ndarray, k: int = WINDOW_K) -> datasketches.kll_floats_sketch:
    sketch = datasketches.kll_floats_sketch(k)
    sketch.update(round_numbers(values))
    return sketch


@pytest.mark.parametrize("count", [1, 2, 90, 300, 5000, 300_000])
@pytest.mark.parametrize("kind", VALUES)
def test_a_packed_sketch_is_small_and_comes_back(kind: str, count: int) -> None:
    sketch = sketch_of(VALUES[kind](np.random.default_rng(count), count))
    raw = pack_sketch(sketch)
    assert len(raw) <= MAX_SKETCH_BYTES
    back = unpack_sketch(raw)
    assert back.n == count
    assert (back.get_min_value(), back.get_max_value()) == (sketch.get_min_value(), sketch.get_max_value())
    assert pack_sketch(back) == raw, "once packed, nothing more is lost"
    if kind != "of every size":
        assert all((a == b).all() for a, b in zip(kept_values(back), kept_values(sketch), strict=True))


def test_an_empty_sketch_takes_no_byte() -> None:
    assert pack_sketch(datasketches.kll_floats_sketch(WINDOW_K)) == b""
    assert unpack_sketch(b"").is_empty()


def test_numbers_that_do_not_compress_make_the_sketch_coarser_and_the_sketch_says_so() -> None:
    sketch = sketch_of(VALUES["of every size"](np.random.default_rng(0), 300_000))
    back = unpack_sketch(pack_sketch(sketch))
    assert back.k < WINDOW_K
    assert back.normalized_rank_error(False) > sketch.normalized_rank_error(False)


@pytest.mark.parametrize("kind", VALUES)
def test_rounding_keeps_order_and_five_digits(kind: str) -> None:
    values = np.sort(VALUES[kind](np.random.default_rng(1), 2000))
    rounded = round_numbers(values).astype(float)
    assert (np.diff(rounded) >= 0).all()
    assert (round_numbers(rounded) == rounded).all(), "rounding twice is rounding once"
    inside = (np.abs(values) < 3e38) & (np.abs(values) > 1e-35)
    assert np.allclose(rounded[inside], values[inside], rtol=2.0**-16, atol=0)
    assert np.isfinite(rounded).all()


def test_packing_between_merges_keeps_the_stated_error() -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(400, 500))
    sketch = sketch_of(values[0])
    for part in values[1:]:
        sketch = unpack_sketch(pack_sketch(sketch))
        sketch.merge(sketch_of(part))
    exact = np.sort(values.ravel())
    points = np.linspace(-2, 2, 41)
    ranks = np.searchsorted(exact, points, side="right") / exact.size
    found = np.array(sketch.get_cdf(points.tolist(), True)[:-1])
    error = sketch.normalized_rank_error(False)
    assert error < 0.027
    assert np.mean(np.abs(found - ranks) <= error) >= 0.97


def test_a_sketch_of_doubles_becomes_one_of_a_window() -> None:
    doubles = datasketches.kll_doubles_sketch(200)
    doubles.update(np.random.default_rng(0).normal(size=50_000))
    window = to_window_sketch(doubles)
    assert window.n == doubles.n
    assert window.get_quantile(0.5) == pytest.approx(doubles.get_quantile(0.5), rel=1e-4)
    window.merge(sketch_of(np.zeros(10)))
    assert len(pack_sketch(window)) <= MAX_SKETCH_BYTES
