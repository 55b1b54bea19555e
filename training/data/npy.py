"""NumPy's .npy files: a folder of inputs and labels, or one file whose columns are a table's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from aiplatform.late import late_module
from training.data.dataset import Array, Dataset
from training.data.images import LabelledImages, build_image_dataset
from training.data.npz import NAMES
from training.data.reading import Reading
from training.data.split import COLUMN, TEST, TRAIN, VALIDATION, SplitRule
from training.data.table_files import TableRows, number_rows

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = late_module("pyarrow")

MAX_COLUMNS = 10_000
LABEL, PART = "label", "part"
_PAIRS = {**NAMES, TRAIN: (("inputs", "labels"), *NAMES["train"])}


def find_npy_files(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return the .npy files of inputs and labels of a folder, by part; empty if it has none for training."""
    parts = {TRAIN: _PAIRS[TRAIN], VALIDATION: NAMES["validation"], TEST: NAMES["test"]}
    found: dict[str, tuple[Path, Path]] = {}
    for part, pairs in parts.items():
        places = [(folder / f"{inputs}.npy", folder / f"{labels}.npy") for inputs, labels in pairs]
        there = [place for place in places if place[0].is_file() and place[1].is_file()]
        found |= {part: there[0]} if there else {}
    return found if TRAIN in found else {}


def open_array(path: Path) -> Array:
    """Return a file's array, mapped and not read; nothing is unpickled.

    Raises: InvalidInputError if it cannot be read.
    """
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInputError(f"'{path}' is not a readable .npy file: {error}") from error
    return array


def load_npy_images(arrays: dict[str, tuple[Array, Array]], reading: Reading) -> Dataset:
    """Return the images of a folder of .npy files. Shapes: inputs (n, height, width[, channels]), labels (n,)."""
    parts = {
        part: LabelledImages(pixels=np.asarray(inputs), labels=np.asarray(labels))
        for part, (inputs, labels) in arrays.items()
    }
    return build_image_dataset(
        train=parts[TRAIN], validation=parts.get(VALIDATION), test=parts.get(TEST), reading=reading
    )


def folder_rows(arrays: dict[str, tuple[Array, Array]], reading: Reading) -> tuple[TableRows, str, SplitRule]:
    """Return inputs of shape (n, k) as a table of the columns c0, c1, ... with `label`; its target and its split."""
    tables = []
    for part, (inputs, labels) in arrays.items():
        if len(inputs) != len(labels):
            raise InvalidInputError(
                f"'{reading.report.source}', {part}: there are {len(inputs)} rows and {len(labels)} labels"
            )
        columns = _columns(np.asarray(inputs), reading.report.source)
        columns[LABEL] = pa.array(np.asarray(labels).reshape(-1))
        if len(arrays) > 1:
            columns[PART] = pa.array([part] * len(labels))
        tables.append(pa.table(columns))
    if len(arrays) > 1 and reading.split.column:
        raise InvalidConfigurationError(
            f"'{reading.report.source}' has parts of its own; split={reading.split} cannot be"
        )
    rule = SplitRule(kind=COLUMN, column=PART) if len(arrays) > 1 else reading.split
    return number_rows(pa.concat_tables(tables)), LABEL, rule


def file_rows(path: Path) -> TableRows:
    """Return the rows of one file: of records by their fields' names, of numbers (n, k) as the columns c0, c1, ..."""
    return number_rows(pa.table(_columns(np.asarray(open_array(path)), path.name)))


def _columns(array: Array, source: str) -> dict[str, pa.Array]:
    if array.dtype.names:
        return {name: _column(array[name], f"{source}, '{name}'") for name in array.dtype.names}
    if array.ndim != 2 or array.dtype.kind not in "uifb" or not 1 <= array.shape[1] <= MAX_COLUMNS:
        raise InvalidInputError(
            f"'{source}' must hold records with named fields, or numbers of shape (n, k) with at most {MAX_COLUMNS} "
            f"columns, not {array.dtype} of shape {array.shape}"
        )
    return {f"c{place}": pa.array(np.ascontiguousarray(array[:, place])) for place in range(array.shape[1])}


def _column(values: Array, where: str) -> pa.Array:
    if values.ndim != 1 or values.dtype.kind not in "uifbSUM":
        raise InvalidInputError(f"{where} must hold one number, text or date a row, not {values.dtype} {values.shape}")
    return pa.array(np.ascontiguousarray(np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values))
