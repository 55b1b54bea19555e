"""The forecaster holds out by time, beats the naive forecast, and its model takes raw values of the past."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from tests.training.recipes.reporters import RememberingReporter
from tests.training.recipes.serving import open_as
from training.data.reading import SourceReport
from training.data.series import SeriesPlaces, SeriesPlan, build_series, load_series
from training.learning import learn
from training.recipes.api import TrainingOrder
from training.recipes.forecast_task import Forecast
from training.recipes.tasks import Scale

pytestmark = pytest.mark.timeout(300)
PLAN = SeriesPlan(target="load", window=6, horizon=3)


def write_load(path: Path, steps: int = 900) -> None:
    """Write a load that repeats every 12 steps around a level that wanders, in a unit far from 1."""
    random = np.random.default_rng(4)
    level = 5000 + np.cumsum(random.normal(0, 60, steps))
    load = level + 900 * np.sin(2 * np.pi * np.arange(steps) / 12) + random.normal(0, 20, steps)
    rows = [f"{i},{value:.1f},{i % 12}" for i, value in enumerate(load)]
    path.write_text("\n".join(["hour,load,slot", *rows]))


def build(values: Any, plan: SeriesPlan = PLAN) -> Any:
    return build_series({"load": np.asarray(values, np.float32)}, plan, SourceReport(source="load.csv"))


def test_windows_end_where_their_targets_begin_and_parts_follow_each_other() -> None:
    data = build(np.arange(100.0))
    for part in (data.train, data.validation, data.test):
        inputs, targets = part.rows(slice(None))
        assert np.array_equal(inputs["load"][:, -1] + 1, targets[:, 0])
        assert np.array_equal(np.diff(inputs["load"]), np.ones((len(targets), 5)))
        assert np.array_equal(np.diff(targets), np.ones((len(targets), 2)))
    assert (data.train.labels.min(), data.train.labels.max()) == (6, 69)
    assert (data.validation.labels.min(), data.validation.labels.max()) == (70, 79)
    assert (data.test.labels.min(), data.test.labels.max()) == (80, 99)


def test_a_window_without_all_its_targets_is_left_out_and_a_gap_in_the_past_is_not() -> None:
    values = np.arange(100.0)
    values[30] = np.nan
    train = build(values).train
    assert np.isfinite(train.labels).all()
    assert not ((train.labels == 29).any(axis=1) & (train.labels == 31).any(axis=1)).any()
    assert np.isnan(train.inputs["load"]).any(axis=1).sum() == 6


def test_rows_are_ordered_by_their_time(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(100)
    (tmp_path / "a.csv").write_text("at,load\n" + "\n".join(f"{i},{i * 2}" for i in order))
    plan = SeriesPlan(target="load", window=6, horizon=3, time="at")
    data = load_series(str(tmp_path / "a.csv"), plan, places=SeriesPlaces(scratch=tmp_path))
    assert data.train.labels[0].tolist() == [12, 14, 16]


def test_the_naive_forecast_is_the_last_value_or_that_of_a_season_ago() -> None:
    history = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])

    def naive(season: int) -> list[float]:
        task = Forecast(Scale(mean=0, deviation=1), loss="mse", horizon=5, history="load", season=season)
        return list(task.naive(history)[0].tolist())

    assert naive(0) == [6, 6, 6, 6, 6]
    assert naive(4) == [3, 4, 5, 6, 3]


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("load\n" + "1\n" * 12, "load", "12 steps are too few: no validation row has 6 steps before it"),
        ("load\n" + "x\n" * 12, "load", "column 'load' is of type string; a series is of numbers"),
        ("load\n1\n", "lod", "there is no column 'lod'"),
    ],
)
def test_what_is_no_series_is_refused(text: str, target: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text(text)
    plan = SeriesPlan(target=target, window=6, horizon=3)
    with pytest.raises((InvalidInputError, InvalidConfigurationError), match=message):
        load_series(str(tmp_path / "odd.csv"), plan, places=SeriesPlaces(scratch=tmp_path))
    with pytest.raises(InvalidInputError, match="a series comes from one file"):
        load_series("digits", plan, places=SeriesPlaces(scratch=tmp_path))


def test_the_forecaster_beats_the_naive_forecast_and_is_served(train: Callable[..., Any], tmp_path: Path) -> None:
    write_load(tmp_path / "load.csv")
    order = {"recipe": "forecaster", "data": tmp_path / "load.csv", "target": "load"}
    options = {"window": 24, "horizon": 6, "season": 12, "columns": "slot", "epochs": 8, "learning_rate": 0.003}
    model, folder, inputs, outputs = train(**order, **options)
    assert model.task == "forecasting"
    assert model.metrics["skill"] > 0.15, "a season ago says nothing of where the level went"
    assert model.metrics["mae"] < model.metrics["baseline_mae"] < 400, "in the load's unit"
    assert len(model.evaluation["mae_by_step"]) == 6
    assert (inputs["load"].shape, inputs["slot"].shape) == ((8, 24), (8, 24))
    assert (outputs["next"].shape, outputs["forecast"].shape) == ((8, 1), (8, 6))
    assert set(model.profile.outputs) == {"value"}
    engine = open_as(None, model, folder)
    answers = engine.run(inputs)
    assert np.allclose(answers["forecast"], outputs["forecast"], rtol=1e-4)
    assert np.allclose(answers["next"], outputs["next"], rtol=1e-4)
    inputs["load"][:, 3] = np.nan
    assert np.isfinite(engine.run(inputs)["forecast"]).all(), "a missing value has an answer"


def test_a_series_beyond_the_memory_for_data_is_learned_from_disk_and_leaves_nothing_there(tmp_path: Path) -> None:
    write_load(tmp_path / "load.csv", steps=1500)
    options = {"window": 24, "horizon": 6, "season": 12, "columns": "slot", "epochs": 4, "learning_rate": 0.003}
    order = TrainingOrder(
        recipe="forecaster", parameters=options, data_uri=str(tmp_path / "load.csv"), target="load", seed=3,
        work_dir=tmp_path / "work", memory_bytes=200_000,
    )  # fmt: skip
    reporter = RememberingReporter()
    model = learn(order, reporter)
    assert [source["is_streamed"] for source in reporter.sources] == [True]
    assert reporter.begun[0][1] * 16 >= reporter.sources[0]["rows"]["training"] > 900, "all windows are learned from"
    assert any("one in 2 for testing" in message for message in reporter.messages)
    assert model.metrics["skill"] > 0
    assert not list((tmp_path / "work" / "data").iterdir())


def test_orders_that_cannot_be_are_refused(train: Callable[..., Any], tmp_path: Path) -> None:
    write_load(tmp_path / "load.csv", steps=100)
    with pytest.raises(InvalidConfigurationError, match="season must be at most window, 24 steps, not 48"):
        train("forecaster", tmp_path / "load.csv", target="load", window=24, season=48)
    with pytest.raises(InvalidConfigurationError, match="needs a target column"):
        train("forecaster", tmp_path / "load.csv")
