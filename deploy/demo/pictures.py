"""Pictures for the demo: rows that the training held out, as they are and gone wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.data.sources import load_dataset

SEED = 0  # that of `train run`, so that the held-out rows are the same


@dataclass(frozen=True)
class Pictures:
    """Held-out pictures with the names of their classes.

    Shapes: images (n, height, width, channels), float32, 0..255; truths (n,).
    """

    images: np.ndarray[Any, Any]
    truths: list[str]
    labels: tuple[str, ...]

    def clean(self, count: int) -> Iterator[tuple[list[Any], str]]:
        """Yield pictures with their true labels."""
        for row in range(min(count, len(self.images))):
            yield self.images[row].tolist(), self.truths[row]

    def drifted(self, count: int) -> Iterator[tuple[list[Any], str]]:
        """Yield the same pictures inverted: black on white."""
        for row in range(min(count, len(self.images))):
            yield (255.0 - self.images[row]).tolist(), self.truths[row]

    def save_one(self, folder: Path) -> Path:
        """Write the first picture as PNG, fit to be uploaded; return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.truths[0]}.png"
        pixels = self.images[0].astype(np.uint8)
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
        return path


def write_mislabelled(uri: str, path: Path) -> Path:
    """Write the training rows of a data set with each label moved to the next class."""
    with tempfile.TemporaryDirectory() as scratch:
        dataset = load_dataset(uri, target=None, seed=SEED, scratch=Path(scratch))
    inputs, labels = dataset.train.rows(slice(0, 5000))
    slipped = np.array([dataset.labels[(code + 1) % len(dataset.labels)] for code in labels.tolist()])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, images=next(iter(inputs.values())).astype(np.uint8), labels=slipped)
    return path


def load_pictures(uri: str) -> Pictures:
    """Return the test rows of a data set of images."""
    with tempfile.TemporaryDirectory() as scratch:
        dataset = load_dataset(uri, target=None, seed=SEED, scratch=Path(scratch))
    inputs, labels = dataset.test.rows(slice(0, 1000))
    truths = [dataset.labels[index] for index in labels.tolist()]
    return Pictures(images=next(iter(inputs.values())), truths=truths, labels=dataset.labels)
