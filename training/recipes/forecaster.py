"""Forecasts the next steps of a time series from a window of its past, in Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from aiplatform.errors import InvalidConfigurationError
from training.data.dataset import Array, DataDescription, DataKind, Dataset, Target
from training.data.series import SeriesPlaces, SeriesPlan, load_series
from training.recipes.api import TrainingOrder
from training.recipes.forecast_task import Forecast
from training.recipes.keras_backends import BackendParameters
from training.recipes.keras_recipe import KerasRecipe
from training.recipes.parameters import HUBER, MSE, FitParameters, parameter
from training.recipes.tabular import mean_and_deviation
from training.recipes.tasks import Scale

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class ForecasterParameters(BackendParameters, FitParameters):
    """What can be chosen."""

    epochs: int = parameter(10, minimum=1, maximum=10_000, help="How often all training rows are seen.")
    window: int = parameter(48, minimum=1, maximum=10_000, help="Steps of the past that the model looks at.")
    horizon: int = parameter(12, minimum=1, maximum=1000, help="Steps ahead that it forecasts.")
    season: int = parameter(
        0, minimum=0, maximum=10_000, help="Steps after which the series repeats, at most window; 0: it does not."
    )
    columns: str = parameter("", help="Further columns whose past is looked at, separated by commas.")
    time: str = parameter("", help="The column that orders the rows; empty: they are in order.")
    loss: str = parameter(HUBER, choices=(MSE, HUBER), help="Squared errors, or Huber's, which counts outliers less.")
    hidden_units: int = parameter(128, minimum=1, maximum=4096, help="Width of the first hidden layer.")
    dropout: float = parameter(0.1, minimum=0.0, maximum=0.9, help="Share of features left out while learning.")


class Forecaster(KerasRecipe):
    """Learns what the naive forecast misses: a straight line from the window, and two hidden layers beside it."""

    name = "forecaster"
    summary = "The next steps of a time series from a window of its past (Keras)"
    data_kind = DataKind.SERIES
    targets = (Target.NUMBER,)
    Parameters: ClassVar[type[ForecasterParameters]] = ForecasterParameters

    def load_data(self, order: TrainingOrder, parameters: ForecasterParameters) -> Dataset:
        """Return windows of the target's column, held out by time."""
        if not order.target:
            raise InvalidConfigurationError("a forecast needs a target column: name it with --target")
        if parameters.season > parameters.window:
            raise InvalidConfigurationError(
                f"season must be at most window, {parameters.window} steps, not {parameters.season}"
            )
        others = tuple(name.strip() for name in parameters.columns.split(",") if name.strip())
        plan = SeriesPlan(
            target=order.target,
            window=parameters.window,
            horizon=parameters.horizon,
            others=tuple(name for name in dict.fromkeys(others) if name != order.target),
            time=parameters.time,
        )
        order.reports.clear()
        places = SeriesPlaces(scratch=order.scratch, cache=order.cache, memory_bytes=order.memory_bytes)
        return load_series(order.data_uri, plan, places=places, expected=order.expected, reports=order.reports)

    def build_task(self, data: DataDescription, parameters: ForecasterParameters) -> Forecast:
        """Return the forecast of all steps; losses are in units of the target's deviation."""
        return Forecast(
            Scale.of(data.train.labels),
            loss=parameters.loss,
            horizon=parameters.horizon,
            history=data.inputs[0].name,
            season=parameters.season,
        )

    def build_model(self, data: DataDescription, parameters: ForecasterParameters) -> keras.Model:
        """Return the network; every column is an input of its own, its past with the oldest step first."""
        import keras
        from keras import layers, ops

        inputs = {spec.name: keras.Input(spec.shape[1:], name=spec.name) for spec in data.inputs}  # (n, window)
        scaled = [_scaled(column, data.train.inputs[name]) for name, column in inputs.items()]
        past = scaled[0]  # of the target
        task = self.build_task(data, parameters)
        naive = ops.take(past, task.naive_places(parameters.window), axis=1)  # (n, horizon)
        x = layers.Concatenate()([past - past[:, -1:], *scaled])  # (n, window * (1 + columns)): the shape and the level
        line = layers.Dense(parameters.horizon, kernel_initializer="zeros")(x)  # (n, horizon)
        x = layers.Dense(parameters.hidden_units, activation="relu")(x)  # (n, 128)
        x = layers.Dropout(parameters.dropout)(x)
        x = layers.Dense(max(1, parameters.hidden_units // 2), activation="relu")(x)  # (n, 64)
        bend = layers.Dense(parameters.horizon, kernel_initializer="zeros")(x)  # (n, horizon)
        steps = layers.Add(dtype="float32")([naive, line, bend])
        mean, deviation = mean_and_deviation(data.train.inputs[task.history])
        forecast = layers.Rescaling(deviation, offset=mean, dtype="float32")(steps)  # in the target's unit
        return keras.Model(inputs, forecast)


def _scaled(column: Any, values: Array) -> Any:
    """Return a past with the mean 0 and the variance 1 of the training rows; a missing value counts as the mean."""
    from keras import ops

    mean, deviation = mean_and_deviation(values)
    return ops.where(ops.isnan(column), 0.0, (column - mean) / deviation)
