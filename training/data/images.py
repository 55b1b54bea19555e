"""From labelled arrays of pixels to a data set: one range, one shape, one list of classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiplatform.artifacts import ImageInput
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import IMAGE, Array, DataKind, Dataset, Part
from training.data.labels import encode_labels
from training.data.reading import Reading
from training.data.split import BY_SEED, TEST, TEST_SHARE, TRAIN, VALIDATION, VALIDATION_SHARE, SplitRule, hold_out


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Images and their labels as a source has them.

    Shapes: pixels (n, height, width) or (n, height, width, channels); labels (n,) or (n, 1).
    """

    pixels: Array
    labels: Array


def build_image_dataset(
    *,
    train: LabelledImages,
    validation: LabelledImages | None = None,
    test: LabelledImages | None = None,
    reading: Reading,
) -> Dataset:
    """Return a data set; parts that the source does not have are split off by the reading's rule.

    Raises: InvalidInputError if arrays do not fit each other or cannot be pixels.
    """
    source = reading.report.source
    given = {TRAIN: train, VALIDATION: validation, TEST: test}
    there = {name: images for name, images in given.items() if images is not None}
    pixels = {name: to_pixels(images.pixels, where=f"{source}, {name}") for name, images in there.items()}
    codes, labels = encode_labels({name: images.labels for name, images in there.items()}, where=source)
    parts = {name: _part(pixels[name], codes[name], where=f"{source}, {name}") for name in there}
    shape = parts[TRAIN].inputs[IMAGE].shape[1:]
    for name, part in parts.items():
        if part.inputs[IMAGE].shape[1:] != shape:
            raise InvalidInputError(f"{source}: {name} images are {part.inputs[IMAGE].shape[1:]}, not {shape}")
    train_part, validation_part, test_part = _fill_parts(parts, reading)
    reading.report.rows = {TRAIN: len(train_part), VALIDATION: len(validation_part), TEST: len(test_part)}
    height, width, channels = shape
    return Dataset(
        kind=DataKind.IMAGES,
        inputs=(TensorSpec(name=IMAGE, dtype=DType.FP32, shape=(-1, height, width, channels)),),
        labels=labels,
        image=ImageInput(height=height, width=width, channels=channels),
        train=train_part,
        validation=validation_part,
        test=test_part,
        fingerprint=reading.fingerprint,
    )


def to_pixels(array: Array, *, where: str) -> Array:
    """Return pixels from 0 to 255, shape (n, height, width, channels), uint8 or float32.

    Whole numbers are taken as they are up to 255, and scaled down above (16 bit); fractions up to
    1 are scaled up. Raises: InvalidInputError if the array cannot be pixels.
    """
    if array.ndim not in (3, 4) or array.dtype.kind not in "uifb":
        raise InvalidInputError(
            f"{where}: images must be numbers of shape (n, height, width[, channels]), "
            f"not {array.dtype} of shape {array.shape}"
        )
    pixels = array if array.ndim == 4 else array[..., None]
    if not len(pixels):
        raise InvalidInputError(f"{where}: there are no images")
    if pixels.shape[-1] not in (1, 3, 4):
        raise InvalidInputError(f"{where}: images must have 1, 3 or 4 channels (last), not {pixels.shape[-1]}")
    if pixels.dtype == np.uint8:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    return scale_pixels(pixels.astype(np.float32), low, high, is_whole=array.dtype.kind in "ui", where=where)


def scale_pixels(pixels: Array, low: float, high: float, *, is_whole: bool, where: str) -> Array:
    """Return pixels from 0 to 255, float32, of a set whose values go from `low` to `high`.

    Raises: InvalidInputError if these cannot be pixels.
    """
    if not (low >= 0 and high <= 65535):  # also true of NaN
        raise InvalidInputError(f"{where}: pixels must be from 0 to 255 (or to 1, or 65535), not {low} to {high}")
    if high > 255:
        return pixels / np.float32(257)
    return pixels if is_whole or high > 1 else pixels * np.float32(255)


def _part(pixels: Array, labels: Array, *, where: str) -> Part:
    if len(pixels) != len(labels):
        raise InvalidInputError(f"{where}: there are {len(pixels)} images and {len(labels)} labels")
    return Part(inputs={IMAGE: pixels}, labels=labels)


def _fill_parts(parts: dict[str, Part], reading: Reading) -> tuple[Part, Part, Part]:
    if reading.split.column:
        raise InvalidInputError(
            f"'{reading.report.source}' has no columns: split={reading.split} is for tables; images: seed, ordered"
        )
    train, validation, test = parts[TRAIN], parts.get(VALIDATION), parts.get(TEST)
    if test is None:
        train, test = divide(train, share=TEST_SHARE, seed=reading.seed, rule=reading.split)
    if validation is None:
        train, validation = divide(train, share=VALIDATION_SHARE, seed=reading.seed, rule=reading.split)
    return train, validation, test


def divide(part: Part, *, share: float, seed: int, rule: SplitRule = BY_SEED) -> tuple[Part, Part]:
    """Return a part in two: what is kept, and what is held out.

    Raises: InvalidInputError if there are too few rows to hold any out.
    """
    kept, held_out = hold_out(part.labels, share=share, rule=rule, seed=seed)
    return choose_rows(part, kept), choose_rows(part, held_out)


def choose_rows(part: Part, rows: Array) -> Part:
    """Return some rows of a part, in the order given."""
    return Part(inputs={name: array[rows] for name, array in part.inputs.items()}, labels=part.labels[rows])
