"""Images in one .npz file, under the names that Keras, MedMNIST and people use."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from aiplatform.errors import InvalidInputError
from training.data.dataset import Array, Dataset
from training.data.images import LabelledImages, build_image_dataset
from training.data.reading import Reading

# (images, labels) by part; the first pair that is there is taken
NAMES = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels"), ("x_valid", "y_valid")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}


def load_npz(path: Path, reading: Reading) -> Dataset:
    """Return the images of an .npz file; nothing in it is unpickled.

    Raises: InvalidInputError if it cannot be read or has none of the known pairs of arrays.
    """
    arrays = _read_arrays(path)
    train = _find_pair(arrays, "train")
    if train is None:
        known = "; ".join(f"{images} and {labels}" for images, labels in NAMES["train"])
        raise InvalidInputError(f"'{path}' must hold one of: {known}; it holds: {', '.join(arrays) or 'nothing'}")
    return build_image_dataset(
        train=train,
        validation=_find_pair(arrays, "validation"),
        test=_find_pair(arrays, "test"),
        reading=reading,
    )


def _read_arrays(path: Path) -> dict[str, Array]:
    wanted = {name for pairs in NAMES.values() for pair in pairs for name in pair}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if name in wanted}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError, AttributeError) as error:
        raise InvalidInputError(f"'{path}' is not a readable .npz file: {error}") from error


def _find_pair(arrays: dict[str, Array], part: str) -> LabelledImages | None:
    for images, labels in NAMES[part]:
        if images in arrays and labels in arrays:
            return LabelledImages(pixels=arrays[images], labels=arrays[labels])
    return None
