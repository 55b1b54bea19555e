"""A network for tables of numbers and categories, in Keras; rows go in as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from aiplatform.tensors import DType
from training.data.dataset import Array, DataDescription, DataKind, Target
from training.recipes.keras_backends import BackendParameters
from training.recipes.keras_heads import attach_head
from training.recipes.keras_recipe import KerasRecipe
from training.recipes.recipe import Learner
from training.recipes.tabular import TabularParameters, mean_and_deviation, most_frequent

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class KerasTabularParameters(BackendParameters, TabularParameters):
    """What can be chosen."""


class KerasTabular(KerasRecipe):
    """Normalised numbers and one-hot categories into two hidden layers; both are in the model."""

    name = "keras_tabular"
    summary = "Classes or numbers from tables with numbers and categories, missing values included (Keras)"
    data_kind = DataKind.TABLE
    targets = (Target.CLASSES, Target.NUMBER)
    Parameters: ClassVar[type[KerasTabularParameters]] = KerasTabularParameters

    def build_learner(self, data: DataDescription, parameters: TabularParameters, seed: int) -> Learner:
        """Return a learner, held back as much as so few rows want."""
        return super().build_learner(data, parameters.for_rows(len(data.train)), seed)

    def build_optimizer(self, parameters: KerasTabularParameters) -> keras.Optimizer:
        """Return Adam with decoupled weight decay (Loshchilov and Hutter, 2019); of weights, not of biases."""
        import keras

        optimizer = keras.optimizers.AdamW(parameters.learning_rate, weight_decay=parameters.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer

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
        return keras.Model(inputs, attach_head(x, self.build_task(data, parameters)))  # (n, classes) or (n, 1)


def _normalised(column: Any, values: Array) -> Any:
    """Return the number with mean 0 and variance 1, and beside it whether it is missing (NaN)."""
    from keras import layers, ops

    mean, deviation = mean_and_deviation(values)
    is_missing = ops.isnan(column)
    filled = ops.where(is_missing, mean, column)  # a missing number counts as the mean
    scaled = (filled - mean) / deviation
    return layers.Concatenate()([scaled, ops.cast(is_missing, "float32")])


def _one_hot(column: Any, values: Array, most: int) -> Any:
    """Return one column a known value, and one for values never seen; missing ("") is a value."""
    from keras import layers

    lookup = layers.StringLookup(vocabulary=most_frequent(values, most), output_mode="one_hot", num_oov_indices=1)
    return lookup(column)
