"""A feature takes less than 1 KiB of a window, and comes back with what it is promised to keep."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from aiplatform.profiles import CategoryProfile, DataProfile, FeatureProfile, NumericProfile
from monitoring.models import Window
from monitoring.packing import MAX_FEATURE_BYTES, pack_feature, pack_profile, unpack_feature, unpack_profile
from monitoring.windows import WindowContent, merge_profile

ROWS = 200_000
NUMBERS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda r: r.normal(size=ROWS),
    "of every size": lambda r: r.normal(size=ROWS) * 10.0 ** r.integers(-300, 300, ROWS),
    "any bits": lambda r: r.integers(0, 2**63, ROWS).view(np.float64),
    "half missing": lambda r: np.where(r.random(ROWS) < 0.5, np.nan, r.normal(size=ROWS)),
    "whole": lambda r: r.poisson(3, ROWS).astype(float),
}
TEXTS: dict[str, Callable[[np.random.Generator], list[str]]] = {
    "few": lambda r: r.choice(list("abc"), 5000).tolist(),
    "fifty": lambda r: [f"state {n}" for n in r.integers(0, 50, 5000)],
    "two hundred": lambda r: [f"{n:x}" for n in r.integers(0, 200, 5000)],
    "all different": lambda r: [f"{n:032x}" for n in r.integers(0, 2**62, 20_000)],
    "long": lambda r: ["é" * 200 + str(n) for n in r.integers(0, 3000, 20_000)],
}


def numbers(values: np.ndarray, parts: int = 5) -> NumericProfile:
    profile = NumericProfile.for_window()
    for part in np.array_split(values, parts):
        batch = NumericProfile.for_window()
        batch.update(part, limits=(-1.0, 1.0))
        profile.merge(batch)
    return profile


def texts(values: list[str]) -> CategoryProfile:
    profile = CategoryProfile()
    profile.update(values)
    return profile


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_number_takes_less_than_a_kibibyte_and_keeps_what_is_exact(kind: str) -> None:
    profile = numbers(NUMBERS[kind](np.random.default_rng(0)))
    raw = pack_feature(profile)
    assert len(raw) < MAX_FEATURE_BYTES == 1024
    back = unpack_feature(raw)
    assert isinstance(back, NumericProfile)
    assert (back.missing, back.count, back.moments, back.ranges) == (
        profile.missing, profile.count, profile.moments, profile.ranges,
    )  # fmt: skip
    assert pack_feature(back) == raw


@pytest.mark.parametrize("kind", TEXTS)
def test_a_category_takes_less_than_a_kibibyte_and_keeps_its_counts(kind: str) -> None:
    profile = texts(TEXTS[kind](np.random.default_rng(0)))
    profile.missing = 12
    raw = pack_feature(profile)
    assert len(raw) < MAX_FEATURE_BYTES
    back = unpack_feature(raw)
    assert isinstance(back, CategoryProfile)
    assert back.buckets is not None and profile.buckets is not None
    assert (back.missing, back.count, back.distinct) == (12, profile.count, profile.distinct)
    assert back.buckets.tolist() == profile.buckets.tolist()
    assert pack_feature(back) == raw


def test_names_are_known_while_they_fit_and_the_most_frequent_beyond() -> None:
    few, many = (
        texts(TEXTS["fifty"](np.random.default_rng(0))),
        texts(["common"] * 3000 + [f"r{i}" for i in range(5000)]),
    )
    back = unpack_feature(pack_feature(few))
    assert isinstance(back, CategoryProfile) and back.is_exact and back.counts() == few.counts()
    back = unpack_feature(pack_feature(many))
    assert isinstance(back, CategoryProfile) and not back.is_exact
    assert next(iter(back.counts())) == "common"
    assert back.counts()["common"] == pytest.approx(3000, abs=8000 / 190), "the error that frequent items state"


def test_distinct_values_are_estimated_within_the_stated_error() -> None:
    many = texts([f"r{i}" for i in range(5000)])
    assert many.distinct == pytest.approx(5000, rel=3 * 0.065)


def test_hundreds_of_merges_stay_small_and_lose_no_row() -> None:
    random = np.random.default_rng(0)
    profile: FeatureProfile = CategoryProfile()
    for _ in range(100):
        profile = unpack_feature(pack_feature(profile))
        assert isinstance(profile, CategoryProfile)
        profile.merge(texts([f"user {n}" for n in random.zipf(1.2, 300)]))
    assert len(pack_feature(profile)) < MAX_FEATURE_BYTES
    assert profile.count == 30_000
    assert isinstance(profile, CategoryProfile) and profile.buckets is not None and profile.buckets.sum() == 30_000


def test_merging_in_any_order_says_the_same() -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(i, 1, 400) for i in range(3)]
    names = [random.integers(0, 9, 400).astype(str).tolist() for _ in range(3)]
    seen = []
    for order in itertools.permutations(range(3)):
        for is_left in (True, False):
            windows = [DataProfile(rows=400, features={"x": numbers(parts[i], 1), "c": texts(names[i])}) for i in order]
            first, second, third = windows
            if is_left:
                merge_profile(first, second)
                merge_profile(first, third)
            else:
                merge_profile(second, third)
                merge_profile(first, second)
            back = unpack_profile(pack_profile(first))
            x, c = back.features["x"], back.features["c"]
            assert isinstance(x, NumericProfile) and isinstance(c, CategoryProfile)
            assert x.quantiles([0.5])[0] == pytest.approx(np.median(np.concatenate(parts)), abs=0.15)
            seen.append((back.rows, x.count, x.moments.low, x.moments.high, dict(sorted(c.counts().items()))))
            assert [x.moments.mean, x.moments.deviation] == pytest.approx([np.mean(parts), np.std(parts)])
    assert all(found == seen[0] for found in seen)


def test_a_window_written_as_json_is_still_read_and_merged() -> None:
    old = DataProfile()
    old.update({"x": np.arange(5000.0), "c": np.array(["a", "b"] * 2500, dtype=object)})
    data = old.to_dict()
    del data["features"]["x"]["moments"], data["features"]["c"]["buckets"], data["features"]["c"]["distinct"]
    content = WindowContent.read_from(Window(rows=5000, profile=data))
    content.merge(WindowContent(rows=10, profile=DataProfile(rows=10, features={"x": numbers(np.ones(10))})))
    row = Window()
    content.write_to(row)
    back = WindowContent.read_from(row).profile
    x, c = back.features["x"], back.features["c"]
    assert row.profile == {} and len(row.sketches) < 2500
    assert isinstance(x, NumericProfile) and isinstance(c, CategoryProfile)
    assert (x.count, back.rows, c.counts(), c.distinct) == (5010, 5010, {"a": 2500, "b": 2500}, 2)
    assert x.moments.mean == pytest.approx(2495, rel=0.03)
    assert c.buckets is not None and c.buckets.sum() == 5000


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 1, not 9"):
        unpack_profile(b"\x94\x09\x00\x80\x80")
