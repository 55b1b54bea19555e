"""Classifies short and long texts, in Keras; the vocabulary is part of the model, which takes texts as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from aiplatform.errors import InvalidConfigurationError
from aiplatform.tensors import DType
from training.data.dataset import DataDescription, DataKind, Dataset
from training.data.table import tensor_name
from training.recipes.api import TrainingOrder
from training.recipes.keras_backends import BackendParameters
from training.recipes.keras_heads import attach_head
from training.recipes.keras_recipe import KerasRecipe
from training.recipes.parameters import FitParameters, parameter

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class TextClassifierParameters(BackendParameters, FitParameters):
    """What can be chosen."""

    epochs: int = parameter(10, minimum=1, maximum=10_000, help="How often all training rows are seen.")
    learning_rate: float = parameter(0.003, minimum=1e-8, maximum=10.0, help="Step size of the optimizer (Adam).")
    text: str = parameter("", help="The column of the texts; empty: the only one of texts.")
    vocabulary: int = parameter(10_000, minimum=10, maximum=1_000_000, help="Most frequent words kept.")
    ngrams: int = parameter(1, minimum=1, maximum=3, help="Up to so many words in a row count as one, too.")
    length: int = parameter(200, minimum=1, maximum=10_000, help="Words of a text that are read, from its beginning.")
    embedding_size: int = parameter(64, minimum=1, maximum=1024, help="Numbers that stand for a word.")
    dropout: float = parameter(0.3, minimum=0.0, maximum=0.9, help="Share of features left out while learning.")


class TextClassifier(KerasRecipe):
    """The mean of a text's word vectors into one hidden layer."""

    name = "text_classifier"
    summary = "Classes of texts, from a table with a column of them (Keras)"
    data_kind = DataKind.TABLE
    Parameters: ClassVar[type[TextClassifierParameters]] = TextClassifierParameters

    def load_data(self, order: TrainingOrder, parameters: TextClassifierParameters) -> Dataset:
        """Return the rows with the column of texts as their only input."""
        data = super().load_data(order, parameters)
        texts = [spec for spec in data.inputs if spec.dtype is DType.BYTES]
        if parameters.text:
            texts = [spec for spec in texts if spec.name == tensor_name(parameters.text)]
        if len(texts) != 1:
            wanted = f"a column '{parameters.text}' of texts" if parameters.text else "one column of texts"
            there = ", ".join(spec.name for spec in data.inputs if spec.dtype is DType.BYTES) or "none"
            raise InvalidConfigurationError(
                f"'{order.data_uri}' must have {wanted}; it has: {there} (choose with --set text=COLUMN)"
            )
        name = texts[0].name
        return replace(
            data,
            inputs=(texts[0],),
            train=data.train.select([name]),
            validation=data.validation.select([name]),
            test=data.test.select([name]),
        )

    def build_model(self, data: DataDescription, parameters: TextClassifierParameters) -> keras.Model:
        """Return the network; small and capital letters are alike, punctuation is left out."""
        import keras
        from keras import layers, ops

        name = data.inputs[0].name
        words = layers.TextVectorization(
            max_tokens=parameters.vocabulary, ngrams=parameters.ngrams, output_sequence_length=parameters.length
        )
        words.adapt(data.train.inputs[name].astype(str))
        text = keras.Input((1,), dtype="string", name=name)  # (n, 1)
        numbers = words(text)  # (n, length); 0: no word, 1: an unknown one
        x = layers.Embedding(words.vocabulary_size(), parameters.embedding_size)(numbers)
        x = layers.Dropout(parameters.dropout)(x)  # (n, length, 64)
        is_there = ops.expand_dims(ops.cast(numbers != 0, x.dtype), 2)
        # The mean of the words that are there, (n, 64). Keras' own layer divides by zero where a text has none.
        x = ops.sum(x * is_there, axis=1) / ops.maximum(ops.sum(is_there, axis=1), 1)
        x = layers.Dense(parameters.embedding_size, activation="relu")(x)  # (n, 64)
        x = layers.Dropout(parameters.dropout)(x)
        return keras.Model({name: text}, attach_head(x, self.build_task(data, parameters)))  # (n, classes)
