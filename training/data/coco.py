"""Images with boxes around what is on them, in COCO's form: a folder with `annotations.json` and the images.

Source: https://cocodataset.org/#format-data (object detection): `images`, `annotations` with `bbox` [x, y, width,
height] in pixels, `categories`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.artifacts import ImageInput
from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.late import late_module
from aiplatform.tensors import DType, TensorSpec
from training.data.cache import DataCache
from training.data.dataset import IMAGE, Array, DataKind, Dataset, Part, Target
from training.data.fetch import fingerprint_path, local_copy
from training.data.images import divide
from training.data.location import parse_location
from training.data.road_scenes import ANNOTATIONS
from training.data.split import TEST_SHARE, VALIDATION_SHARE

if TYPE_CHECKING:
    from PIL import Image
else:
    Image = late_module("PIL.Image")

MOST_BOXES = 100  # of one image
_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")


def load_coco(uri: str, *, seed: int, scratch: Path, cache: DataCache | None = None) -> Dataset:
    """Return the images of a folder with their boxes, split by seed; option: size=HEIGHTxWIDTH.

    Labels have the shape (n, boxes, 5), float32: the class, then left, top, right and bottom as shares of the image's
    sides; rows of -1 fill up images with fewer boxes.
    Raises: InvalidInputError naming what cannot be used; UnavailableError if a store cannot be reached.
    """
    location = parse_location(uri)
    location.check_options(("size",))
    with local_copy(location.place, scratch=scratch, cache=cache) as path:
        if not (path / ANNOTATIONS).is_file():
            raise InvalidInputError(f"a folder in COCO's form holds {ANNOTATIONS}; '{location.place}' does not")
        form = _read_annotations(path / ANNOTATIONS)
        size = _choose_size(path, form["images"], location.options.get("size", ""))
        pixels = np.stack([_read_image(path, image["file_name"], size) for image in form["images"]])
        labels, names = _read_boxes(form)
        fingerprint = fingerprint_path(path)
    rest, test = divide(Part(inputs={IMAGE: pixels}, labels=labels), share=TEST_SHARE, seed=seed)
    train, validation = divide(rest, share=VALIDATION_SHARE, seed=seed)
    height, width = size
    return Dataset(
        kind=DataKind.BOXES,
        inputs=(TensorSpec(name=IMAGE, dtype=DType.FP32, shape=(-1, height, width, 3)),),
        labels=names,
        image=ImageInput(height=height, width=width, channels=3),
        train=train,
        validation=validation,
        test=test,
        fingerprint=fingerprint,
        target=Target.BOXES,
    )


def _read_annotations(path: Path) -> dict[str, Any]:
    try:
        form = json.loads(path.read_text())
        found = {key: list(form[key]) for key in ("images", "annotations", "categories")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(f"'{path}' is not in COCO's form (images, annotations, categories): {error}") from error
    if not found["images"] or not found["categories"]:
        raise InvalidInputError(f"'{path}' names no images or no categories")
    return found


def _choose_size(folder: Path, images: list[dict[str, Any]], wanted: str) -> tuple[int, int]:
    if wanted:
        match = _SIZE.fullmatch(wanted)
        if match is None:
            raise InvalidConfigurationError(f"size must be HEIGHTxWIDTH in pixels, not '{wanted}'")
        return int(match[1]), int(match[2])
    sizes = {(image.get("height"), image.get("width")) for image in images}
    if len(sizes) != 1:
        raise InvalidInputError(f"'{folder}': images are of {len(sizes)} sizes; bring them to one: ?size=HEIGHTxWIDTH")
    height, width = sizes.pop()
    if not (isinstance(height, int) and isinstance(width, int)):
        raise InvalidInputError(f"'{folder}': every image must say its height and width in {ANNOTATIONS}")
    return height, width


def _read_image(folder: Path, name: str, size: tuple[int, int]) -> Array:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInputError(f"image '{name}' lies outside of the folder")
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize(size[::-1]), dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"image '{name}' cannot be read: {error}") from error


def _read_boxes(form: dict[str, Any]) -> tuple[Array, tuple[str, ...]]:
    """Return boxes (images, most, 5) and the class names, in the order of the categories' ids."""
    categories = sorted(form["categories"], key=lambda category: category["id"])
    classes = {category["id"]: place for place, category in enumerate(categories)}
    images = {image["id"]: (place, image) for place, image in enumerate(form["images"])}
    boxes: list[list[list[float]]] = [[] for _ in images]
    for annotation in form["annotations"]:
        where = f"annotation {annotation.get('id')}"
        if annotation.get("image_id") not in images or annotation.get("category_id") not in classes:
            raise InvalidInputError(f"{where}: there is no such image or category")
        place, image = images[annotation["image_id"]]
        left, top, wide, tall = (float(v) for v in annotation["bbox"])
        if not (wide > 0 and tall > 0):
            raise InvalidInputError(f"{where}: a box must have a width and a height, not {annotation['bbox']}")
        sides = np.array([left, top, left + wide, top + tall]) / np.tile([image["width"], image["height"]], 2)
        boxes[place].append([classes[annotation["category_id"]], *sides.clip(0, 1).tolist()])
    most = max(1, *(len(found) for found in boxes))
    if most > MOST_BOXES:
        raise InvalidInputError(f"an image has {most} boxes; at most {MOST_BOXES} are learned")
    labels = np.full((len(images), most, 5), -1, dtype=np.float32)
    for place, found in enumerate(boxes):
        if found:
            labels[place, : len(found)] = found
    return labels, tuple(str(category["name"]) for category in categories)
