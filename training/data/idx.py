"""Images in IDX files, the format of MNIST, Fashion-MNIST and EMNIST.

Format: two zero bytes, a type code, the number of dimensions, each size as big-endian uint32,
then the values. Source: yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np

from aiplatform.errors import InvalidInputError
from training.data.dataset import Array, Dataset
from training.data.images import LabelledImages, build_image_dataset
from training.data.reading import Reading

_NAME = re.compile(r"(?P<part>train|t10k|test)[-_.](?P<what>images|labels)[-_.]idx\d[-_.]ubyte(\.gz)?$", re.IGNORECASE)
_UBYTE = 8


def find_idx_files(folder: Path) -> dict[tuple[str, str], Path]:
    """Return the IDX files of a folder by part ('train', 'test') and content ('images', 'labels').

    Raises: InvalidInputError if two files claim the same place.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.search(path.name)
        if match is None:
            continue
        part = "train" if match["part"].lower() == "train" else "test"
        key = (part, match["what"].lower())
        if key in found:
            raise InvalidInputError(f"'{folder}' has two files of {part} {key[1]}: {found[key].name} and {path.name}")
        found[key] = path
    return found


def load_idx_folder(folder: Path, reading: Reading) -> Dataset:
    """Return the images of a folder with IDX files, gzipped or not.

    Raises: InvalidInputError naming the file that is missing or cannot be read.
    """
    files = find_idx_files(folder)
    train = _read_pair(folder, files, "train")
    has_test = any(part == "test" for part, _ in files)
    test = _read_pair(folder, files, "test") if has_test else None
    return build_image_dataset(train=train, test=test, reading=reading)


def _read_pair(folder: Path, files: dict[tuple[str, str], Path], part: str) -> LabelledImages:
    for what in ("images", "labels"):
        if (part, what) not in files:
            raise InvalidInputError(f"'{folder}' has no file of {part} {what} (for example {part}-{what}-idx1-ubyte)")
    return LabelledImages(pixels=read_idx(files[part, "images"]), labels=read_idx(files[part, "labels"]))


def read_idx(path: Path) -> Array:
    """Return the array of an IDX file of unsigned bytes.

    Raises: InvalidInputError if it is cut, or not such a file.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInputError(f"'{path}' cannot be read: {error}") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _UBYTE:
        raise InvalidInputError(f"'{path}' is not an IDX file of unsigned bytes")
    header = 4 + 4 * raw[3]
    shape = tuple(np.frombuffer(raw[4:header], dtype=">u4").tolist()) if len(raw) >= header else ()
    values = np.frombuffer(raw, dtype=np.uint8, offset=min(header, len(raw)))
    if values.size != int(np.prod(shape, dtype=np.int64)) or len(shape) != raw[3]:
        raise InvalidInputError(f"'{path}' is cut or altered: it has {values.size} values, its header says {shape}")
    return values.reshape(shape)
