"""The embedding: a model's own last hidden layer, projected into a few dimensions, as one more output for monitoring.

A change of the data that leaves brightness or contrast as they were still changes what the network makes of it. The
projection is random (distances are kept up to a factor, whatever the layer has learned) and the same for each model
of a width, so a served model needs nothing beside its own file to compute it.

The baseline is made of rows that were held out: on those it has learned from, a network's hidden layer looks otherwise.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.embeddings import EMBEDDING
from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import Array, Part
from training.recipes.reading import join_answers

SEED = 20_160_607  # any number does; another one makes embeddings that cannot be compared with those stored before
BATCH_ROWS = 512


@runtime_checkable
class EmbeddingLearner(Protocol):
    """A learner whose exported model also gives the embedding."""

    @property
    def embedding(self) -> TensorSpec | None:
        """Return what the embedding is; None if the network has no dense hidden layer, or none is wanted."""

    def embed(self, inputs: Arrays) -> Array:
        """Return embeddings, shape (n, dimensions), float32; nothing is learned."""


def projection_matrix(width: int, dimensions: int) -> Array:
    """Return a Gaussian random projection, shape (width, dimensions), float32.

    Divided by the root of the width: a coordinate is as large as the root mean square of the layer's values, however
    wide it is. Source: Dasgupta and Gupta, An Elementary Proof of a Theorem of Johnson and Lindenstrauss (2003).
    """
    random = np.random.default_rng([SEED, width, dimensions])
    matrix: Array = (random.standard_normal((width, dimensions)) / np.sqrt(width)).astype(np.float32)
    return matrix


def embedding_spec(dimensions: int) -> TensorSpec:
    """Return what the embedding of so many dimensions is."""
    return TensorSpec(name=EMBEDDING, dtype=DType.FP32, shape=(-1, dimensions))


def embed_part(learner: EmbeddingLearner, part: Part) -> Array:
    """Return embeddings of all rows of a part, shape (n, dimensions)."""
    return join_answers((learner.embed(inputs) for inputs, _ in part.batches(BATCH_ROWS)), len(part))
