"""A network for tables of numbers and categories, in Keras; rows go in as they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aiplatform.tensors import DType
from training.data.dataset import Array, DataDescription, DataKind
from training.recipes.keras_recipe import KerasRecipe
from training.recipes.parameters import FitParameters, parameter

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class KerasTabularParameters(FitParameters):
    """What can be chosen."""

    epochs: int = parameter(20, minimum=1, maximum=10_000, help="How often all training rows are seen.")
    hidden_units: int = parameter(64, minimum=1, maximum=4096, help="Width of the first hidden layer.")
    dropout: float = parameter(0.3, minimum=0.0, maximum=0.9, help="Share of features left out while learning.")
    max_categories: int = parameter(
        256, minimum=2, maximum=10_000, help="Most frequent values kept of a category; others count as unknown."
    )


class KerasTabular(KerasRecipe):
    """Normalised numbers and one-hot categories into two hidden layers; both are in the model."""

    name = "keras_tabular"
    summary = "Classifier for tables with numbers and categories, missing values included (Keras)"
    data_kind = DataKind.TABLE
    Parameters: ClassVar[type[KerasTabularParameters]] = KerasTabularParameters

    def build_model(self, data: DataDescription, parameters: KerasTabularParameters) -> keras.Model:
        """Return the network; every column is an input of its own, shape (n, 1)."""
        import keras
        from keras import layers

        columns = data.train.inputs
        inputs, features = {}, []
        for spec in data.inputs:
            is_category = spec.dtype is DType.BYTES
            column = keras.Input((1,), dtype="string" if is_category else "float32", name=spec.name)  # (n, 1)
            inputs[spec.name] = column
            if is_category:
                features.append(_one_hot(column, columns[spec.name], parameters.max_categories))  # (n, values + 1)
            else:
                features.append(_normalised(column, columns[spec.name]))  # (n, 2)
        x = layers.Concatenate()(features) if len(features) > 1 else features[0]  # (n, features)
        x = layers.Dense(parameters.hidden_units, activation="relu")(x)  # (n, 64)
        x = layers.Dropout(parameters.dropout)(x)
        x = layers.Dense(max(1, parameters.hidden_units // 2), activation="relu")(x)  # (n, 32)
        x = layers.Dropout(parameters.dropout)(x)
        probabilities = layers.Dense(len(data.labels), activation="softmax", dtype="float32")(x)  # (n, classes)
        return keras.Model(inputs, probabilities)


def _normalised(column: Any, values: Array) -> Any:
    """Return the number with mean 0 and variance 1, and beside it whether it is missing (NaN)."""
    from keras import layers, ops

    known = values[np.isfinite(values)].astype(np.float64)
    mean, variance = (float(known.mean()), float(known.var())) if known.size else (0.0, 1.0)
    is_missing = ops.isnan(column)
    filled = ops.where(is_missing, mean, column)  # a missing number counts as the mean
    scaled = (filled - mean) / max(variance, 1e-12) ** 0.5
    return layers.Concatenate()([scaled, ops.cast(is_missing, "float32")])


def _one_hot(column: Any, values: Array, most: int) -> Any:
    """Return one column a known value, and one for values never seen; missing ("") is a value."""
    from keras import layers

    counts = Counter(values.ravel().tolist())
    vocabulary = sorted(value for value, _ in counts.most_common(most))
    lookup = layers.StringLookup(vocabulary=vocabulary, output_mode="one_hot", num_oov_indices=1)
    return lookup(column)
