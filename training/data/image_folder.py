"""Images as files, in folders named after their class.

    flowers/rose/1.png              or split already:   flowers/train/rose/1.png
    flowers/tulip/2.jpg                                 flowers/test/rose/9.png

Colour is kept where any image has it; transparency is not.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from aiplatform.errors import InvalidInputError
from training.data.dataset import Array, Dataset
from training.data.images import LabelledImages, build_image_dataset

SUFFIXES = (".png", ".jpg", ".jpeg")
PARTS = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test", "testing")}
OPTIONS = ("size", "channels")
_GRAY_MODES = ("1", "L", "LA", "I", "I;16")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class ImageForm:
    """What all images are brought to."""

    height: int
    width: int
    mode: str  # Pillow's: 'L' for one channel, 'RGB' for three
    is_resized: bool


def load_image_folder(folder: Path, *, options: Mapping[str, str], seed: int, fingerprint: str) -> Dataset:
    """Return the images below a folder; options: size=HEIGHTxWIDTH, channels=1 or 3.

    Raises: InvalidInputError naming the file that is of another size or cannot be read.
    """
    places = _find_parts(folder)
    files = {part: _list_files(place) for part, place in places.items()}
    if not any(files.values()):
        raise InvalidInputError(
            f"'{folder}' holds no training data: neither IDX files nor PNG or JPEG images in folders named by class"
        )
    form = _choose_form([path for listed in files.values() for path in listed], options)
    parts = {part: _read_part(listed, form) for part, listed in files.items() if listed}
    return build_image_dataset(
        source=str(folder),
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        seed=seed,
        fingerprint=fingerprint,
    )


def _find_parts(folder: Path) -> dict[str, Path]:
    there = {p.name.lower(): p for p in folder.iterdir() if p.is_dir()}
    parts = {part: there[name] for part, names in PARTS.items() for name in names if name in there}
    return parts if "train" in parts else {"train": folder}


def _list_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*/*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _choose_form(paths: list[Path], options: Mapping[str, str]) -> ImageForm:
    """Read only the headers: a wrong size is told before the pixels are decoded."""
    channels = options.get("channels", "")
    if channels not in ("", "1", "3"):
        raise InvalidInputError(f"option 'channels' must be 1 or 3, not '{channels}'")
    headers = {path: _read_header(path) for path in paths}
    has_color = any(mode not in _GRAY_MODES for _, mode in headers.values())
    mode = "RGB" if channels == "3" or (not channels and has_color) else "L"
    if "size" in options:
        match = _SIZE.fullmatch(options["size"])
        if match is None or not int(match[1]) or not int(match[2]):
            raise InvalidInputError(f"option 'size' must read HEIGHTxWIDTH in pixels, not '{options['size']}'")
        return ImageForm(height=int(match[1]), width=int(match[2]), mode=mode, is_resized=True)
    (width, height), _ = headers[paths[0]]
    for path, (size, _) in headers.items():
        if size != (width, height):
            raise InvalidInputError(
                f"images must be of one size: '{path}' is {size[1]}x{size[0]}, '{paths[0]}' is {height}x{width}; "
                f"append '?size={height}x{width}' to resize them"
            )
    return ImageForm(height=height, width=width, mode=mode, is_resized=False)


def _read_header(path: Path) -> tuple[tuple[int, int], str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return image.size, image.mode
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInputError(f"'{path}' is not a readable image: {error}") from error


def _read_part(paths: list[Path], form: ImageForm) -> LabelledImages:
    pixels = np.stack([_read_pixels(path, form) for path in paths])  # (n, height, width[, 3])
    return LabelledImages(pixels=pixels, labels=np.array([path.parent.name for path in paths]))


def _read_pixels(path: Path, form: ImageForm) -> Array:
    try:
        with Image.open(path) as image:
            plain = _to_eight_bits(image).convert(form.mode)
            if form.is_resized:
                plain = plain.resize((form.width, form.height), Image.Resampling.BILINEAR)
            return np.asarray(plain, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidInputError(f"'{path}' is not a readable image: {error}") from error


def _to_eight_bits(image: Image.Image) -> Image.Image:
    if image.mode not in ("I", "I;16"):
        return image
    return Image.fromarray((np.asarray(image, dtype=np.float32) / 257).astype(np.uint8))
