"""Profiles: sketches that merge to what one sketch of all data would say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aiplatform.profiles import (
    KLL_K,
    MAX_EXACT_CATEGORIES,
    CategoryProfile,
    DataProfile,
    NumericProfile,
    feature_profile_from_dict,
    profile_column,
)

RNG = np.random.default_rng(7)


def test_quantiles_are_within_the_sketchs_error() -> None:
    profile = NumericProfile()
    profile.update(RNG.permutation(10_000).astype(float))
    for rank, value in zip((0.1, 0.5, 0.9), profile.quantiles((0.1, 0.5, 0.9)), strict=True):
        assert abs(value / 10_000 - rank) < 0.03, KLL_K


def test_parts_merge_to_the_whole() -> None:
    values = RNG.normal(size=6000)
    whole, merged = NumericProfile(), NumericProfile()
    whole.update(values)
    for part in np.split(values, 6):
        piece = NumericProfile()
        piece.update(part)
        merged.merge(piece)
    assert merged.count == whole.count == 6000
    points = [-1.0, 0.0, 1.0]
    np.testing.assert_allclose(merged.cdf(points), whole.cdf(points), atol=0.04)


def test_missing_and_infinite_numbers_are_counted_apart() -> None:
    profile = NumericProfile()
    profile.update(np.array([1.0, np.nan, np.inf, -np.inf, 2.0]))
    assert (profile.count, profile.missing) == (2, 3)
    assert profile.quantiles([0.0, 1.0]) == [1.0, 2.0]


def test_an_empty_profile_answers_with_nothing() -> None:
    assert NumericProfile().quantiles([0.5]) == []
    assert NumericProfile().cdf([0.0]) == []
    assert CategoryProfile().counts() == {}


def test_categories_are_exact_while_they_are_few() -> None:
    profile = CategoryProfile()
    names = [f"c{i}" for i in range(MAX_EXACT_CATEGORIES)]
    for _ in range(3):
        profile.update(names)
    assert profile.counts() == dict.fromkeys(sorted(names), 3) | profile.counts()
    assert set(profile.counts().values()) == {3}


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan])
def test_a_missing_category_is_no_category(missing: object) -> None:
    profile = profile_column(np.array(["a", missing, "a", "b"], dtype=object))
    assert isinstance(profile, CategoryProfile)
    assert (profile.counts(), profile.missing) == ({"a": 2, "b": 1}, 1)


def test_a_profile_survives_json() -> None:
    profile = DataProfile()
    columns = {"age": np.array([1.0, 2.0, np.nan]), "city": np.array(["x", "y", None], dtype=object)}
    profile.update(columns, {"label": np.array(["0", "1", "1"], dtype=object)})
    copy = DataProfile.from_dict(json.loads(json.dumps(profile.to_dict())))
    assert copy.rows == 3
    age, city = copy.features["age"], copy.features["city"]
    assert isinstance(age, NumericProfile)
    assert isinstance(city, CategoryProfile)
    assert (age.count, age.missing) == (2, 1)
    assert city.counts() == {"x": 1, "y": 1}
    assert copy.outputs["label"].count == 3


def test_profiles_of_replicas_add_up_and_keep_their_own() -> None:
    first, second = DataProfile(), DataProfile()
    first.update({"x": np.array([1.0, 2.0])})
    second.update({"x": np.array([3.0]), "y": np.array([1.0])})
    first.merge(second)
    assert (first.rows, first.features["x"].count, first.features["y"].count) == (3, 3, 1)
    first.update({"y": np.array([5.0])})
    assert second.features["y"].count == 1


def test_a_feature_cannot_change_its_kind() -> None:
    profile = DataProfile()
    profile.update({"x": np.array([1.0])})
    with pytest.raises(ValueError, match="'x' is NumericProfile here and CategoryProfile there"):
        profile.update({"x": np.array(["a"], dtype=object)})


def test_an_unknown_kind_of_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="'numeric' or 'category'"):
        feature_profile_from_dict({"type": "audio"})


def test_moments_are_those_of_all_values_however_they_were_merged() -> None:
    values = np.random.default_rng(0).lognormal(0, 1, 5000)
    merged = NumericProfile()
    for part in np.array_split(values, 13):
        piece = NumericProfile()
        piece.update(part)
        merged.merge(piece)
    copy = NumericProfile.from_dict(json.loads(json.dumps(merged.to_dict())))
    assert copy.moments == merged.moments
    assert [copy.moments.mean, copy.moments.deviation] == pytest.approx([values.mean(), values.std()])
    assert (copy.moments.low, copy.moments.high) == (values.min(), values.max())


def test_an_older_artifacts_profile_is_read_as_far_as_it_goes() -> None:
    numbers, few, many = NumericProfile(), CategoryProfile(), CategoryProfile()
    values = np.random.default_rng(0).normal(10, 2, 5000)
    numbers.update(values)
    few.update(["a", "b" * 100] * 50)
    many.update([f"c{i}" for i in range(2000)])
    old = [{key: value for key, value in p.to_dict().items() if key in ("type", "missing", "sketch")}
           for p in (numbers, few, many)]  # fmt: skip
    read, read_few, read_many = (feature_profile_from_dict(data) for data in old)
    assert isinstance(read, NumericProfile)
    assert read.moments.mean == pytest.approx(10, rel=0.02)
    assert read.moments.deviation == pytest.approx(2, rel=0.1)
    assert isinstance(read_few, CategoryProfile) and read_few.buckets is not None
    assert (read_few.buckets.sum(), read_few.distinct) == (100, 2)
    assert isinstance(read_many, CategoryProfile) and read_many.buckets is None and not read_many.is_exact


def test_a_long_name_is_known_by_its_beginning_and_a_hash() -> None:
    profile = CategoryProfile()
    profile.update(["é" * 200, "é" * 199, "short"])
    names = list(profile.counts())
    assert len(names) == 3 and all(len(name.encode()) <= 48 for name in names)
    assert "short" in names
