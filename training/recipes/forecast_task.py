"""Forecasting: the next steps of a series, tested against what costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import Array, Part
from training.recipes.scores import regression_metrics
from training.recipes.tasks import Metrics, Regression, Scale


class Forecast(Regression):
    """The next `horizon` values, shape (n, horizon); `history` is the input that holds their past.

    Served are `next`, the first of them, which monitoring watches and whose truth is the first to come, and `forecast`,
    all of them.
    """

    name = "forecasting"

    def __init__(self, scale: Scale, *, loss: str, horizon: int, history: str, season: int) -> None:
        super().__init__(scale, loss=loss)
        self.horizon, self.history, self.season = horizon, history, season

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Return `next` and `forecast`."""
        return (
            TensorSpec(name="next", dtype=DType.FP32, shape=(-1, 1)),
            TensorSpec(name="forecast", dtype=DType.FP32, shape=(-1, self.horizon)),
        )

    def answers(self, outputs: Any) -> dict[str, Any]:
        """Return both from the forecast of all steps."""
        return {"next": outputs[:, :1], "forecast": outputs}

    def test(self, outputs: Array, rows: Part) -> Metrics:
        """Return the errors over all steps, those of the naive forecast, and the skill: how much of them is gone.

        Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice (2021), 5.2 and 5.8.
        """
        found = super().test(outputs, rows)
        naive = self.naive(rows.inputs[self.history])
        known = np.isfinite(naive)
        baseline = regression_metrics(naive[known], rows.labels[known])
        skill = 1 - found["mae"] / baseline["mae"] if baseline["mae"] > 0 else 0.0
        return {**found, "baseline_mae": baseline["mae"], "baseline_rmse": baseline["rmse"], "skill": skill}

    def naive(self, history: Array) -> Array:
        """Return the forecast that costs nothing: the last value, or the one of a season ago; shape (n, horizon)."""
        return history[:, self.naive_places(history.shape[1])]

    def naive_places(self, window: int) -> Array:
        """Return where in a window the naive forecast of each step is; shape (horizon,)."""
        season = self.season or 1  # the last value repeats
        return window - season + np.arange(self.horizon) % season

    def evaluate(self, outputs: Array, targets: Array) -> Mapping[str, Any]:
        """Return the mean absolute error of each step ahead."""
        return {"mae_by_step": np.abs(outputs - targets).mean(axis=0).astype(float).tolist()}
