"""Images as files, in folders named after their class.

    flowers/rose/1.png              or split already:   flowers/train/rose/1.png
    flowers/tulip/2.jpg                                 flowers/test/rose/9.png

Colour is kept where any image has it; transparency is not.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from training.data.dataset import Array, Dataset
from training.data.images import LabelledImages, build_image_dataset
from training.data.reading import Reading, SourceReport
from training.data.split import TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from PIL import Image
else:
    Image = late_module("PIL.Image")

SUFFIXES = (".png", ".jpg", ".jpeg")
PARTS = {TRAIN: ("train", "training"), VALIDATION: ("val", "valid", "validation"), TEST: ("test", "testing")}
OPTIONS = ("size", "channels")
_GRAY_MODES = ("1", "L", "LA", "I", "I;16")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def not_readable() -> tuple[type[Exception], ...]:
    """Return what Pillow raises for a file that is no picture, or one that would fill the memory."""
    return (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True, kw_only=True)
class ImageForm:
    """What all images are brought to."""

    height: int
    width: int
    mode: str  # Pillow's: 'L' for one channel, 'RGB' for three
    is_resized: bool


def load_image_folder(folder: Path, reading: Reading) -> Dataset:
    """Return the images below a folder; options: size=HEIGHTxWIDTH, channels=1 or 3.

    Files that cannot be read, or are of another size than most where no size is given, are bad rows.
    Raises: InvalidInputError naming the files that are bad, as the reading's policy has it.
    """
    places = find_parts(folder)
    files = {part: _list_files(place) for part, place in places.items()}
    everything = [path for listed in files.values() for path in listed]
    if not everything:
        raise InvalidInputError(
            f"'{folder}' holds no training data: neither IDX files nor PNG or JPEG images in folders named by class"
        )
    form, fitting = _choose_form(folder, everything, reading)
    parts = {
        part: _read_part(folder, [p for p in listed if p in fitting], form, reading.report)
        for part, listed in files.items()
    }
    reading.report.settle(total=len(everything))
    there = {part: images for part, images in parts.items() if images is not None}
    if TRAIN not in there:
        raise InvalidInputError(f"'{folder}' holds no image to learn from")
    return build_image_dataset(
        train=there[TRAIN], validation=there.get(VALIDATION), test=there.get(TEST), reading=reading
    )


def folder_images(folder: Path, reading: Reading) -> Iterator[tuple[Array, str, str]]:
    """Yield pixels, class and part ('' if the folder has no parts) of one image after the other.

    Files that cannot be used are noted in the reading's report.
    """
    places = find_parts(folder)
    files = {part: _list_files(place) for part, place in places.items()}
    form, fitting = _choose_form(folder, [path for listed in files.values() for path in listed], reading)
    for part, listed in files.items():
        for path in listed:
            if path not in fitting:
                continue
            try:
                pixels = read_pixels(path, form)
            except not_readable() as error:
                reading.report.add_bad(_name(folder, path), f"is not a readable image: {_why(error, path)}")
            else:
                yield pixels, path.parent.name, part if len(files) > 1 else ""


def find_parts(folder: Path) -> dict[str, Path]:
    """Return the folders of the parts by name; the folder itself, as training, if it has none."""
    there = {p.name.lower(): p for p in folder.iterdir() if p.is_dir()}
    parts = {part: there[name] for part, names in PARTS.items() for name in names if name in there}
    return parts if TRAIN in parts else {TRAIN: folder}


def _list_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*/*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _choose_form(folder: Path, paths: list[Path], reading: Reading) -> tuple[ImageForm, set[Path]]:
    """Read only the headers: a wrong size is told before the pixels are decoded. Return also the files that fit."""
    options, report = reading.options, reading.report
    channels = options.get("channels", "")
    if channels not in ("", "1", "3"):
        raise InvalidInputError(f"option 'channels' must be 1 or 3, not '{channels}'")
    headers = {path: header for path in paths if (header := _read_header(folder, path, report)) is not None}
    if not headers:
        report.settle(total=len(paths))
        raise InvalidInputError(f"'{folder}' holds no image that can be read")
    has_color = any(mode not in _GRAY_MODES for _, mode in headers.values())
    mode = "RGB" if channels == "3" or (not channels and has_color) else "L"
    size = read_size(options)
    if size is not None:
        return ImageForm(height=size[0], width=size[1], mode=mode, is_resized=True), set(headers)
    (width, height), _ = Counter(size for size, _ in headers.values()).most_common(1)[0]
    fitting = {path for path, (size, _) in headers.items() if size == (width, height)}
    for path in headers:
        if path not in fitting:
            (wide, high), _ = headers[path]
            reason = (
                f"is {high}x{wide}, most images are {height}x{width}; append '?size={height}x{width}' to resize them"
            )
            report.add_bad(_name(folder, path), reason)
    return ImageForm(height=height, width=width, mode=mode, is_resized=False), fitting


def read_size(options: Mapping[str, str]) -> tuple[int, int] | None:
    """Return height and width of the option `size`; None if it is not given.

    Raises: InvalidInputError unless it reads HEIGHTxWIDTH.
    """
    if "size" not in options:
        return None
    match = _SIZE.fullmatch(options["size"])
    if match is None or not int(match[1]) or not int(match[2]):
        raise InvalidInputError(f"option 'size' must read HEIGHTxWIDTH in pixels, not '{options['size']}'")
    return int(match[1]), int(match[2])


def _read_header(folder: Path, path: Path, report: SourceReport) -> tuple[tuple[int, int], str] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return image.size, image.mode
    except not_readable() as error:
        report.add_bad(_name(folder, path), f"is not a readable image: {_why(error, path)}")
        return None


def _read_part(folder: Path, paths: list[Path], form: ImageForm, report: SourceReport) -> LabelledImages | None:
    pixels, labels = [], []
    for path in paths:
        try:
            pixels.append(read_pixels(path, form))
        except not_readable() as error:
            report.add_bad(_name(folder, path), f"is not a readable image: {_why(error, path)}")
        else:
            labels.append(path.parent.name)
    if not pixels:
        return None
    return LabelledImages(pixels=np.stack(pixels), labels=np.array(labels))  # (n, height, width[, 3])


def read_pixels(path: Path | BinaryIO, form: ImageForm) -> Array:
    """Return an image file's pixels in a form, shape (height, width[, 3]), uint8.

    Raises: OSError, SyntaxError or ValueError if it is broken.
    """
    with Image.open(path) as image:
        plain = _to_eight_bits(image).convert(form.mode)
        if form.is_resized:
            plain = plain.resize((form.width, form.height), Image.Resampling.BILINEAR)
        return np.asarray(plain, dtype=np.uint8)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    if image.mode not in ("I", "I;16"):
        return image
    return Image.fromarray((np.asarray(image, dtype=np.float32) / 257).astype(np.uint8))


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _why(error: Exception, path: Path) -> str:
    return str(error).replace(str(path), path.name)
