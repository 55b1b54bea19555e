"""The embedding is judged beside features and predictions, and never changes what these are found to do."""

from __future__ import annotations

import numpy as np
import pytest

from aiplatform.embeddings import embedding_columns
from aiplatform.profiles import DataProfile
from monitoring.drift.results import DriftLimits, DriftTable, Verdict
from monitoring.drift.table import compare_profiles

LIMITS = DriftLimits()
FEATURES = ("brightness", "contrast", "sharpness", "fill")


def profile(random: np.random.Generator, rows: int, *, moved: int = 0, shift: float = 0.0) -> tuple[DataProfile, ...]:
    """Return the same rows without and with an embedding; `moved` features and all dimensions are shifted."""
    features = {name: random.normal(0.35 if i < moved else 0.0, 1, rows) for i, name in enumerate(FEATURES)}
    said = {"confidence": random.random(rows)}
    plain, embedded = DataProfile(), DataProfile()
    plain.update(features, said)
    embedded.update({}, embedding_columns(random.normal(shift, 1, (rows, 12))))
    # The very same sketches: two of the same values differ, since they drop values at random.
    return plain, DataProfile(rows=rows, features=plain.features, outputs=plain.outputs | embedded.outputs)


def both(seed: int, *, moved: int = 0, shift: float = 0.0, rows: int = 400) -> tuple[DriftTable, DriftTable]:
    random = np.random.default_rng(seed)
    baselines = profile(random, 900)
    windows = profile(random, rows, moved=moved, shift=shift)
    plain, monitored = (compare_profiles(b, w, LIMITS) for b, w in zip(baselines, windows, strict=True))
    return plain, monitored


@pytest.mark.parametrize("moved", [0, 1, 2, 4])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_features_predictions_and_the_dataset_are_judged_as_without_it(moved: int, shift: float) -> None:
    # A shift of 0.35 lies near what is significant, so a family that were larger, or had more drift in it, would show.
    for seed in range(5):
        plain, monitored = both(seed, moved=moved, shift=shift)
        assert (monitored.features, monitored.predictions) == (plain.features, plain.predictions)
        assert monitored.drifted_share == plain.drifted_share
        assert monitored.dataset_verdict is plain.dataset_verdict
        assert plain.embedding == ()


def test_dimensions_that_moved_are_found_in_the_order_of_their_numbers() -> None:
    _, table = both(1, shift=1.0)
    assert [column.column for column in table.embedding] == [f"embedding[{i}]" for i in range(12)]
    assert {column.verdict for column in table.embedding} == {Verdict.DRIFTED}
    assert (table.embedding_verdict, table.verdict, table.dataset_verdict) == (
        Verdict.DRIFTED, Verdict.DRIFTED, Verdict.OK,
    )  # fmt: skip
    assert {column.direction for column in table.embedding} == {"up"}


def test_clean_windows_raise_hardly_an_alarm_with_twelve_more_columns() -> None:
    verdicts = [both(seed, rows=200)[1].embedding_verdict for seed in range(100)]
    assert verdicts.count(Verdict.DRIFTED) <= 1


def test_too_few_rows_are_no_verdict() -> None:
    _, table = both(0, shift=3.0, rows=60)
    assert table.embedding_verdict is Verdict.NOT_ENOUGH_DATA
