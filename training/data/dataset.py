"""What a recipe learns from, whatever source it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays, ImageInput
from aiplatform.tensors import TensorSpec

Array = np.ndarray[Any, Any]

IMAGE = "image"  # the name of the image input tensor


class DataKind(StrEnum):
    """What rows look like."""

    IMAGES = "images"
    TABLE = "table"
    SERIES = "series"
    BOXES = "boxes"


class Target(StrEnum):
    """What is to be predicted."""

    CLASSES = "classes"
    NUMBER = "number"
    BOXES = "boxes"


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows for one purpose.

    Shapes: every input has n rows first; labels (n,): int64, indices into the class names, or float32, numbers; a
    series has (n, k) float32, the k steps ahead; images with boxes have (n, boxes, 5) float32 (training.data.coco).
    Images may be kept as uint8; `rows` gives every number as float32, as it is on the wire.
    """

    inputs: Arrays
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, indices: Array | slice) -> tuple[Arrays, Array]:
        """Return inputs (as on the wire) and labels of the chosen rows."""
        chosen = {name: array[indices] for name, array in self.inputs.items()}
        return as_on_the_wire(chosen), self.labels[indices]

    def order(self, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Array]:
        """Yield the indices of one batch after the other, in an order that follows from seed and epoch.

        Every row comes once an epoch; the first batch is number `start` (0: all are given).
        """
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        for first in range(start * batch_size, len(self), batch_size):
            yield order[first : first + batch_size]

    def shuffled(self, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[tuple[Arrays, Array]]:
        """Yield inputs (as on the wire) and labels of one batch after the other, in the order of `order`."""
        for indices in self.order(batch_size, seed=seed, epoch=epoch, start=start):
            yield self.rows(indices)

    def select(self, names: Sequence[str]) -> Part:
        """Return the same rows with some of the inputs only."""
        return replace(self, inputs={name: self.inputs[name] for name in names})

    def sample(self) -> Part:
        """Return rows from which means and vocabularies are taken: all of them, where they are in memory."""
        return self

    def batches(self, batch_size: int) -> Iterator[tuple[Arrays, Array]]:
        """Yield all rows in order, `batch_size` at a time."""
        for start in range(0, len(self), batch_size):
            yield self.rows(slice(start, start + batch_size))


def as_on_the_wire(inputs: Arrays) -> Arrays:
    """Return inputs with all numbers as float32; texts as they are."""
    return {
        name: array if array.dtype.kind == "O" else array.astype(np.float32, copy=False)
        for name, array in inputs.items()
    }


@dataclass(frozen=True, kw_only=True)
class DataDescription:
    """What a recipe must know to build a network for the data.

    `train` holds the training rows, from which preprocessing may take means or vocabularies; of a set that is larger
    than memory a sample of them.
    `image` is None for tables.
    """

    kind: DataKind
    inputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...]
    image: ImageInput | None
    train: Part
    target: Target = Target.CLASSES


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A source's rows, split. `fingerprint` is the sha256 of the source's content."""

    kind: DataKind
    inputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...]
    image: ImageInput | None
    train: Part
    validation: Part
    test: Part
    fingerprint: str
    target: Target = Target.CLASSES

    @property
    def description(self) -> DataDescription:
        """Return what a recipe builds from: everything but the held-out rows."""
        return DataDescription(
            kind=self.kind,
            inputs=self.inputs,
            labels=self.labels,
            image=self.image,
            train=self.train.sample(),
            target=self.target,
        )
