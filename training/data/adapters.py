"""The same rows in the same order as a tf.data.Dataset or a torch DataLoader: for recipes with their own loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import Part


def as_tf_dataset(
    part: Part, inputs: Sequence[TensorSpec], *, batch_size: int, seed: int, epoch: int, start: int = 0
) -> Any:
    """Return one epoch as a tf.data.Dataset of (inputs by name, labels), prefetched; rows in memory or on disk alike.

    Shapes: inputs as on the wire (batch, ...), labels (batch,) int64. `start` batches are left out.
    """
    import tensorflow as tf

    specs = {spec.name: tf.TensorSpec([None if n == -1 else n for n in spec.shape], _dtype(spec)) for spec in inputs}

    def generate() -> Iterator[Any]:
        return part.shuffled(batch_size, seed=seed, epoch=epoch, start=start)

    rows = tf.data.Dataset.from_generator(generate, output_signature=(specs, tf.TensorSpec([None], tf.int64)))
    return rows.prefetch(2)


def as_torch_loader(part: Part, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Any:
    """Return one epoch as a torch DataLoader of (inputs by name, labels) as tensors; texts stay arrays."""
    import torch
    from torch.utils.data import DataLoader, IterableDataset

    class Batches(IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            for inputs, labels in part.shuffled(batch_size, seed=seed, epoch=epoch, start=start):
                tensors = {n: a if a.dtype.kind == "O" else torch.from_numpy(a.copy()) for n, a in inputs.items()}
                yield tensors, torch.from_numpy(labels.copy())

    return DataLoader(Batches(), batch_size=None)


def _dtype(spec: TensorSpec) -> Any:
    import tensorflow as tf

    return tf.string if spec.dtype is DType.BYTES else tf.as_dtype(spec.dtype.numpy)
