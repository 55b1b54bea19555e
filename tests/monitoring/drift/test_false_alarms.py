"""At the default settings clean windows are quiet, and a small real change is found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from aiplatform.profiles import CategoryProfile, DataProfile
from monitoring.drift.results import ColumnDrift, Direction, DriftLimits, DriftTable, Verdict
from monitoring.drift.table import compare_profiles
from tests.monitoring.drift.samples import NUMBERS, baseline_of, categories_of, window_of

LIMITS = DriftLimits()
Random = np.random.Generator
TEXTS: dict[str, Callable[[Random, int], np.ndarray]] = {
    "few": lambda r, n: r.choice(np.array(list("abc"), dtype=object), n, p=[0.6, 0.3, 0.1]),
    "many": lambda r, n: r.zipf(1.4, n).clip(max=9999).astype(str).astype(object),
    "identifiers": lambda r, n: r.integers(0, 10**9, n).astype(str).astype(object),
}


def baseline(random: Random, rows: int) -> DataProfile:
    numbers = {name: baseline_of(draw(random, rows)) for name, (draw, _) in NUMBERS.items()}
    return DataProfile(rows=rows, features={**numbers, **{n: categories_of(d(random, rows)) for n, d in TEXTS.items()}})


def window(random: Random, rows: int, **changed: np.ndarray) -> DataProfile:
    columns = {
        **{n: d(random, rows) for n, (d, _) in NUMBERS.items()},
        **{n: d(random, rows) for n, d in TEXTS.items()},
    }
    columns |= {name.replace("_", " "): values for name, values in changed.items()}
    features = {n: (categories_of if v.dtype == object else window_of)(v, parts=3) for n, v in columns.items()}
    return DataProfile(rows=rows, features=features)


def column(table: DriftTable, name: str) -> ColumnDrift:
    return next(c for c in table.features if c.column == name)


def test_of_192_clean_windows_of_sixteen_features_hardly_one_raises_an_alarm() -> None:
    random = np.random.default_rng(7)
    alarms = 0
    for rows in (300, 1000, 5000, 20_000):
        for _ in range(4):
            reference = baseline(random, rows)
            tables = [compare_profiles(reference, window(random, size), LIMITS) for size in (100, 300, 1000, 5000) * 3]
            alarms += sum(table.verdict is Verdict.DRIFTED for table in tables)
            assert all(table.dataset_verdict is Verdict.OK for table in tables)
    assert alarms <= 3, "1 of 100 would be 2; the chance of more than 3 at that rate is 5%"


@pytest.mark.parametrize("rows", [1000, 20_000])
def test_a_small_real_change_of_one_feature_is_found_with_its_direction(rows: int) -> None:
    random = np.random.default_rng(8)
    reference = baseline(random, rows)
    size = 3000
    changes: dict[str, tuple[np.ndarray, Direction]] = {
        "same normal": (random.normal(0.3, size=size), Direction.UP),
        "exponential": (random.exponential(0.75, size), Direction.DOWN),
        "two humps": (random.normal(0, 1.4, size), Direction.SHAPE),
        "missing": (np.where(random.random(size) < 0.25, np.nan, random.normal(size=size)), Direction.MISSING),
        "few": (random.choice(np.array(list("abcd"), dtype=object), size, p=[0.56, 0.28, 0.08, 0.08]),
                Direction.NEW_CATEGORIES),
    }  # fmt: skip
    for name, (values, direction) in changes.items():
        table = compare_profiles(reference, window(random, size, **{name.replace(" ", "_"): values}), LIMITS)
        found = column(table, name)
        assert (found.verdict, found.direction) == (Verdict.DRIFTED, direction), name
        assert [c.column for c in table.features if c.verdict is Verdict.DRIFTED] == [name]
        assert (table.drifted_count, table.judged_count, table.dataset_verdict) == (1, 16, Verdict.OK)


def test_which_test_decides_follows_kind_and_size_of_the_baseline() -> None:
    random = np.random.default_rng(9)
    for rows, of_numbers, of_texts in ((1000, "ks", "chi2"), (1001, "wasserstein", "js")):
        table = compare_profiles(baseline(random, rows), window(random, 200), LIMITS)
        assert {t.test for t in column(table, "same normal").tests if t.is_deciding} == {of_numbers, "psi"}
        assert {t.test for t in column(table, "few").tests if t.is_deciding} == {of_texts, "psi"}


def test_the_data_set_has_drifted_when_half_of_its_features_have() -> None:
    old, new = DataProfile(rows=2000), DataProfile(rows=500)
    random = np.random.default_rng(10)
    for i in range(4):
        old.features[f"x{i}"] = baseline_of(random.normal(size=2000))
        new.features[f"x{i}"] = window_of(random.normal(2.0 if i < 2 else 0.0, size=500))
    table = compare_profiles(old, new, LIMITS)
    assert (table.dataset_verdict, table.drifted_share) == (Verdict.DRIFTED, 0.5)


def test_what_cannot_be_judged_is_not_enough_data_and_does_not_count() -> None:
    old, new = DataProfile(rows=2000), DataProfile(rows=500)
    for i, size in enumerate((99, 500)):
        old.features[f"x{i}"] = baseline_of(np.arange(2000.0))
        new.features[f"x{i}"] = window_of(np.full(size, 1e6))
    many = CategoryProfile(buckets=None)
    many.update([f"n{i}" for i in range(1000)])
    old.features["lost names"], new.features["lost names"] = many, categories_of(np.array(["a"] * 500, dtype=object))
    table = compare_profiles(old, new, LIMITS)
    assert [c.verdict for c in table.features] == [
        Verdict.NOT_ENOUGH_DATA, Verdict.NOT_ENOUGH_DATA, Verdict.DRIFTED,
    ]  # fmt: skip
    assert (table.judged_count, table.drifted_share) == (1, 1.0)
    assert all(t.statistic is None and t.p_value is None for t in column(table, "lost names").tests)


def test_a_column_of_missing_values_alone_is_judged_by_what_is_missing() -> None:
    old, new = DataProfile(rows=2000), DataProfile(rows=500)
    old.features["x"], new.features["x"] = baseline_of(np.arange(2000.0)), window_of(np.full(500, np.nan))
    found = compare_profiles(old, new, LIMITS).features[0]
    assert (found.verdict, found.direction) == (Verdict.DRIFTED, Direction.MISSING)
    assert (found.missing_share, found.baseline_missing_share) == (1.0, 0.0)
