"""Sample rows for a model: read from a user's file, or made up from the signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.artifacts import Arrays, ImageInput
from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from aiplatform.tensors import FREE, DType, TensorSpec
from training.data.table import tensor_name
from training.data.table_files import MISSING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv
else:
    pa = late_module("pyarrow")
    csv = late_module("pyarrow.csv")

Array = np.ndarray[Any, Any]
Specs = tuple[TensorSpec, ...]

GENERATED_ROWS = 8
FREE_SIZE = 16  # of a free dimension other than the batch
_BYTES = {DType.UINT8: (0, 256), DType.INT8: (-128, 128)}
LABELS = ("y", "labels")  # the array of labels in an .npz file
ALONE = ("x", "images")  # the array of inputs, if the model has one input and it is not named by it


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Rows as the signature wants them; labels, if the file has them, as they are in it."""

    inputs: Arrays
    labels: Array | None

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(next(iter(self.inputs.values())))


def read_samples(path: Path, specs: Specs, *, target: str = "") -> Samples:
    """Return the rows of an .npz, .npy or .csv file; nothing in it is unpickled.

    Raises: InvalidInputError naming what cannot be read or does not fit the signature.
    """
    if path.suffix == ".csv":
        columns = _read_table(path)
        labels = _take_labels(path, columns, (target,) if target else LABELS, is_needed=bool(target))
        found = _from_columns(path, columns, specs)
    else:
        arrays = _read_arrays(path)
        labels = _take_labels(path, arrays, (target,) if target else LABELS, is_needed=bool(target))
        found = _by_name(path, arrays, specs)
    inputs = {spec.name: _fit(found[spec.name], spec) for spec in specs}
    rows = {name: len(array) for name, array in inputs.items()} | ({} if labels is None else {"labels": len(labels)})
    if len(set(rows.values())) != 1 or not next(iter(rows.values())):
        raise InvalidInputError(
            f"'{path.name}' must hold the same number of rows, at least 1, for each input, not {rows}"
        )
    return Samples(inputs=inputs, labels=labels)


def generate_samples(specs: Specs, *, image: ImageInput | None, seed: int) -> Samples:
    """Return made-up rows: pixels over the image's range, else numbers around 0; the same for the same seed.

    Raises: InvalidInputError for texts, which nobody can make up.
    """
    random = np.random.default_rng(seed)
    for spec in specs:
        if spec.dtype is DType.BYTES:
            raise InvalidInputError(
                f"input '{spec.name}' takes texts, which cannot be made up; give some with --samples"
            )
    return Samples(inputs={spec.name: _random(spec, image, random) for spec in specs}, labels=None)


def _random(spec: TensorSpec, image: ImageInput | None, random: np.random.Generator) -> Array:
    first = GENERATED_ROWS if spec.shape[0] == FREE else spec.shape[0]
    shape = (first, *(FREE_SIZE if size == FREE else size for size in spec.shape[1:]))
    kind = spec.dtype.numpy.kind
    if image is not None:
        values: Array = (
            np.rint(random.uniform(image.low, image.high, shape))
            if kind in "iu"
            else random.uniform(image.low, image.high, shape)
        )
    elif kind == "f":
        values = random.standard_normal(shape)
    elif spec.dtype in (DType.UINT8, DType.INT8):  # pixels, or numbers that were quantised
        values = random.integers(*_BYTES[spec.dtype], shape)
    else:
        values = random.integers(0, 2, shape)  # 0 and 1 are in every vocabulary
    return values.astype(spec.dtype.numpy)


def _read_arrays(path: Path) -> Arrays:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {ALONE[0]: loaded}
        with loaded as archive:
            return {name: archive[name] for name in archive.files}
    except MemoryError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds for a broken file
        raise InvalidInputError(f"'{path.name}' is no readable .npz or .npy file: {error}") from error


def _read_table(path: Path) -> Arrays:
    try:
        options = csv.ConvertOptions(null_values=MISSING, strings_can_be_null=True)
        table = csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInputError(f"'{path.name}' cannot be read as CSV: {error}") from error
    return {name: _column(table.column(name)) for name in table.column_names}


def _column(column: Any) -> Array:
    if pa.types.is_integer(column.type) and not column.null_count:
        return np.asarray(column.to_numpy())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.asarray(column.cast(pa.float64()).to_numpy())
    return np.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=object)


def _take_labels(path: Path, arrays: Arrays, names: tuple[str, ...], *, is_needed: bool) -> Array | None:
    for name in names:
        if name in arrays:
            labels = arrays.pop(name)
            return labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if is_needed:
        raise InvalidInputError(f"'{path.name}' has no '{names[0]}'; it has: {', '.join(arrays)}")
    return None


def _by_name(path: Path, arrays: Arrays, specs: Specs) -> Arrays:
    if all(spec.name in arrays for spec in specs):
        return arrays
    alone = next((arrays[name] for name in ALONE if name in arrays), None)
    if len(specs) == 1 and (alone is not None or len(arrays) == 1):
        return {specs[0].name: next(iter(arrays.values())) if alone is None else alone}
    wanted = ", ".join(spec.name for spec in specs)
    raise InvalidInputError(
        f"'{path.name}' must hold an array for each input ({wanted}); it holds: {', '.join(arrays)}"
    )


def _from_columns(path: Path, columns: Arrays, specs: Specs) -> Arrays:
    named: Mapping[str, Array] = columns | {tensor_name(name): values for name, values in columns.items()}
    if all(spec.name in named for spec in specs):
        return {spec.name: named[spec.name][:, None] for spec in specs}
    width = specs[0].shape[-1] if len(specs) == 1 and len(specs[0].shape) == 2 else None
    if width is None or width not in (FREE, len(columns)):
        wanted = ", ".join(spec.name for spec in specs)
        raise InvalidInputError(
            f"'{path.name}' must have a column for each input ({wanted}), or as many columns as the one input is wide; "
            f"it has {len(columns)}: {', '.join(columns)}"
        )
    texts = [name for name, values in columns.items() if values.dtype.kind == "O"]
    if texts:
        raise InvalidInputError(
            f"'{path.name}': column '{texts[0]}' holds texts; input '{specs[0].name}' takes numbers"
        )
    return {specs[0].name: np.stack(list(columns.values()), axis=1)}


def _fit(array: Array, spec: TensorSpec) -> Array:
    if spec.dtype is DType.BYTES:
        texts: Array = array.astype(str).astype(object)
        shaped = texts
    else:
        if array.dtype.kind not in "fiub":
            raise InvalidInputError(f"samples of '{spec.name}' must be numbers, not {array.dtype}")
        shaped = array.astype(spec.dtype.numpy)
    if shaped.ndim + 1 == len(spec.shape) and spec.shape[-1] in (1, FREE):
        shaped = shaped[..., None]
    rows = spec.shape[0]
    if rows != FREE and len(shaped) > rows:
        shaped = shaped[: len(shaped) // rows * rows]
        TensorSpec(name=spec.name, dtype=spec.dtype, shape=spec.shape).check(shaped[:rows])
        return shaped
    spec.check(shaped)
    return shaped
