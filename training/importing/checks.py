"""What people say of a model, held against what it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.artifacts import ImageInput
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import FREE, DType, Signature, TensorSpec
from training.importing.messages import TASKS

_IMAGE, _TABLE, _NUMBER = TASKS


def check_image(image: ImageInput | None, inputs: tuple[TensorSpec, ...]) -> None:
    """Raise InvalidInputError if uploads of that size would not be the model's one input."""
    if image is None:
        return
    wanted = (image.height, image.width, image.channels)
    shape = inputs[0].shape
    fits = len(inputs) == 1 and len(shape) == 4 and all(s in (FREE, w) for s, w in zip(shape[1:], wanted, strict=True))
    if not fits:
        found = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs)
        raise InvalidInputError(
            f"--image {image.height}x{image.width}x{image.channels} needs one input of shape "
            f"[-1, {image.height}, {image.width}, {image.channels}] (channels last); the model's inputs are: {found}"
        )
    if not image.low < image.high:
        raise InvalidInputError(f"--low must be less than --high, not {image.low} and {image.high}")


def choose_task(task: str, image: ImageInput | None, labels: tuple[str, ...], output: TensorSpec) -> str:
    """Return the task: the given one, else what image, labels and the first output's width tell.

    Raises: InvalidInputError if the first output cannot be what the task needs.
    """
    if output.dtype is DType.BYTES:
        raise InvalidInputError(
            f"the first output, '{output.name}', is of texts; name one of numbers (probabilities) first "
            "with --signature"
        )
    width = _width(output)
    chosen = task or (_IMAGE if image else _TABLE if labels or width != 1 else _NUMBER)
    if chosen == _NUMBER and labels:
        raise InvalidInputError("a regression has no labels; leave out --labels or --task regression")
    return chosen


def check_labels(labels: tuple[str, ...], output: TensorSpec, *, task: str) -> tuple[str, ...]:
    """Return the labels; numbers as labels if none were given to a classifier.

    Raises: InvalidInputError if their number is not that of the outputs.
    """
    if task == _NUMBER:
        return ()
    width = _width(output)
    classes = 2 if width == 1 else width
    if len(set(labels)) != len(labels):
        raise InvalidInputError("--labels names a label twice")
    if labels and classes not in (FREE, len(labels)):
        raise InvalidInputError(
            f"--labels names {len(labels)} labels; the first output, '{output.name}' {list(output.shape)}, "
            f"has {classes} classes"
        )
    return labels or tuple(str(i) for i in range(max(classes, 0)))


def describe_doubts(
    signature: Signature, first: np.ndarray[Any, Any], *, task: str, labels: tuple[str, ...], image: ImageInput | None
) -> tuple[str, ...]:
    """Return what is allowed and perhaps not meant."""
    notes = []
    name = signature.outputs[0].name
    if task != _NUMBER and first.ndim == 2 and first.shape[1] > 1 and not np.allclose(first.sum(axis=1), 1, atol=1e-2):
        notes.append(f"the rows of '{name}' do not add up to 1: confidences will be these numbers, not probabilities")
    if task == _IMAGE and image is None:
        notes.append("without --image, pictures cannot be uploaded or drawn; numbers can be sent")
    return tuple(notes)


def _width(output: TensorSpec) -> int:
    sizes = output.shape[1:]
    return FREE if FREE in sizes else int(np.prod(sizes, dtype=np.int64)) if sizes else 1
