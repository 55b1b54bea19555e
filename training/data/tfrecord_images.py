"""Images in TFRecord files: encoded as PNG or JPEG, or raw pixels with a shape=HxWxC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from training.data.dataset import Array, Dataset
from training.data.image_folder import ImageForm, not_readable, read_pixels, read_size
from training.data.images import LabelledImages, build_image_dataset
from training.data.reading import Reading
from training.data.tfrecord import NumberedRecord, as_array, as_file, first_record, read_records

if TYPE_CHECKING:
    from PIL import Image
else:
    Image = late_module("PIL.Image")

OPTIONS = ("image", "label", "shape", "size", "channels")
IMAGE_NAMES = ("image", "image_raw", "image/encoded", "pixels")
LABEL_NAMES = ("label", "image/class/label", "class", "target")
_SHAPE = re.compile(r"\d{1,5}x\d{1,5}(x[134])?")
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff")


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """Which features are image and label; `shape` is empty for encoded images, which have `form`."""

    image: str
    label: str
    shape: tuple[int, ...]
    form: ImageForm | None


def find_images(path: Path, reading: Reading) -> ImageFeatures | None:
    """Return which features of the first record are image and label; None if it is a row of a table.

    Raises: InvalidInputError if an option names a feature that is not there, or pixels have no shape.
    """
    first = first_record(path)
    features, options = first.features, reading.options
    chosen = options.get("image") or next((name for name in IMAGE_NAMES if _is_image(features, name, options)), "")
    if not chosen:
        return None
    label = options.get("label") or next((name for name in LABEL_NAMES if name in features), "")
    for option, name in (("image", chosen), ("label", label)):
        if name not in features:
            raise InvalidInputError(
                f"'{reading.report.source}' has no feature '{name}' for the option '{option}'; "
                f"it has: {', '.join(features)}"
            )
    shape = _parse_shape(options.get("shape", ""))
    return ImageFeatures(image=chosen, label=label, shape=shape, form=None if shape else _form(first, chosen, reading))


def image_rows(path: Path, found: ImageFeatures, reading: Reading) -> Iterator[tuple[Array, Any]]:
    """Yield pixels and label of each record; one that cannot be used is noted in the report."""
    for record in read_records(path, reading.report):
        try:
            pixels, label = _read(record, found)
        except not_readable() as error:
            reading.report.add_bad(record.where, str(error) or type(error).__name__)
        else:
            yield pixels, label


def load_images(path: Path, found: ImageFeatures, reading: Reading) -> Dataset:
    """Return the images of TFRecord files, split by the reading's rule."""
    rows = list(image_rows(path, found, reading))
    reading.report.settle(total=len(rows) + reading.report.bad_count)
    if not rows:
        raise InvalidInputError(f"'{reading.report.source}' holds no image that can be used")
    pixels = np.stack([image for image, _ in rows])
    images = LabelledImages(pixels=pixels, labels=np.array([label for _, label in rows]))
    return build_image_dataset(train=images, reading=reading)


def _is_image(features: Any, name: str, options: Any) -> bool:
    values = features.get(name)
    if not values:
        return False
    return "shape" in options or (isinstance(values[0], bytes) and values[0].startswith(_MAGIC))


def _parse_shape(text: str) -> tuple[int, ...]:
    if text and not _SHAPE.fullmatch(text):
        raise InvalidInputError(f"option 'shape' must read HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS, not '{text}'")
    return tuple(int(part) for part in text.split("x")) if text else ()


def _form(first: NumberedRecord, name: str, reading: Reading) -> ImageForm:
    values = first.features[name]
    if not isinstance(values[0], bytes) or not values[0].startswith(_MAGIC):
        raise InvalidInputError(
            f"'{reading.report.source}': feature '{name}' is no PNG or JPEG; raw pixels need the option shape=HxWxC"
        )
    with Image.open(as_file(values[0])) as image:
        size = read_size(reading.options) or (image.height, image.width)
        mode = {"1": "L", "3": "RGB"}.get(reading.options.get("channels", ""), "L" if image.mode == "L" else "RGB")
        return ImageForm(height=size[0], width=size[1], mode=mode, is_resized="size" in reading.options)


def _read(record: NumberedRecord, found: ImageFeatures) -> tuple[Array, Any]:
    values, labels = record.features.get(found.image), record.features.get(found.label)
    if not values or not labels or len(labels) != 1:
        raise ValueError(f"it has not one '{found.image}' and one '{found.label}'")
    label = labels[0].decode("utf-8") if isinstance(labels[0], bytes) else labels[0]
    if found.form is None:
        return as_array(values, found.shape), label
    pixels = read_pixels(as_file(values[0]), found.form)
    if pixels.shape[:2] != (found.form.height, found.form.width):
        raise ValueError(f"is {pixels.shape[0]}x{pixels.shape[1]}, the first is {found.form.height}x{found.form.width}")
    return pixels, label
