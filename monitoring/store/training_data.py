"""Labelled predictions as a data source of training: what a retraining learns from."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from aiplatform.predictions.files import put_whole
from aiplatform.predictions.tables import INPUT, tensors_of
from aiplatform.storage import join_uri
from monitoring.store.locations import list_period
from monitoring.store.reading import Selection, read_files

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet
else:
    pa = late_module("pyarrow")
    parquet = late_module("pyarrow.parquet")

TARGET = "target"
LABELLED = "is_whole AND http_status < 400 AND (label IS NOT NULL OR value IS NOT NULL)"
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class LabelledExport:
    """A written data source. `format`: 'npz' (images; no target) or 'parquet' (a table; `target` is its column)."""

    uri: str
    rows: int
    format: str
    target: str = ""


def export_labelled(
    endpoint: str, *, since: datetime, until: datetime, uri: str, version: int | None = None
) -> LabelledExport:
    """Write the labelled rows of a period below the folder `uri`, in a form that training reads.

    Images become `labelled.npz` (`images`, `labels`), tables `labelled.parquet` with the column `target`.
    The returned `uri` is the file; `rows` may be 0, then there is no file.
    Raises: ArtifactError if the store cannot be read or written; InvalidInputError if the inputs are neither
    one image nor single values, or rows differ in what they are.
    """
    selection = Selection(since=since, until=until, version=version, where=LABELLED)
    batches = (batch for _, batch in read_files(list_period(endpoint, since=since, until=until), selection))
    with tempfile.TemporaryDirectory(prefix="labelled-") as folder:
        writer: _ImageWriter | _TableWriter | None = None
        for batch in batches:
            inputs = tensors_of(batch, INPUT)
            if writer is None:
                writer = _new_writer(inputs, Path(folder))
            writer.add(inputs, _truth(batch))
        if writer is None:
            return LabelledExport(uri="", rows=0, format="")
        written = writer.close()
        target = join_uri(uri, written.name)
        put_whole(target, written)
    return LabelledExport(uri=target, rows=writer.rows, format=writer.form, target=writer.target)


class _ImageWriter:
    """Writes pixels to a file as they come, and an archive at the end: it holds no more than a batch."""

    form, target = "npz", ""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self._folder = folder
        self._shape = shape
        self._raw = (folder / "pixels").open("w+b")
        self._labels: list[str] = []
        self._is_bytes = True  # so far all pixels are whole numbers from 0 to 255
        self.rows = 0

    def add(self, inputs: dict[str, Array], truth: list[str | float]) -> None:
        pixels = next(iter(inputs.values())).astype(np.float32)
        if len(inputs) != 1 or pixels.shape[1:] != self._shape:
            raise InvalidInputError(f"the labelled rows hold images of {self._shape} and of {pixels.shape[1:]}")
        self._is_bytes &= bool(((pixels >= 0) & (pixels <= 255) & (pixels == np.rint(pixels))).all())
        self._raw.write(pixels.tobytes())
        self._labels += map(str, truth)
        self.rows += len(pixels)

    def close(self) -> Path:
        path = self._folder / "labelled.npz"
        dtype = np.dtype(np.uint8 if self._is_bytes else np.float32)
        self._raw.seek(0)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("images.npy", "w", force_zip64=True) as member:
                header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
                np.lib.format.write_array_header_1_0(member, {**header, "shape": (self.rows, *self._shape)})
                for some in self._chunks():
                    member.write(some.astype(dtype).tobytes())
            with archive.open("labels.npy", "w") as member:
                np.lib.format.write_array(member, _label_array(self._labels), allow_pickle=False)
        self._raw.close()
        return path

    def _chunks(self) -> Iterator[Array]:
        while raw := self._raw.read(4 * 2**20):
            yield np.frombuffer(raw, np.float32)


class _TableWriter:
    """Writes a Parquet file batch by batch: a column an input, and the truth."""

    form = "parquet"

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._path = folder / "labelled.parquet"
        self._names = names
        self._writer: Any = None
        self.target = TARGET if TARGET not in names else f"{TARGET}_"
        self.rows = 0

    def add(self, inputs: dict[str, Array], truth: list[str | float]) -> None:
        if list(inputs) != self._names:
            raise InvalidInputError(f"the labelled rows have other inputs: {', '.join(inputs)}, not {self._names}")
        columns = {name: pa.array(_single_values(name, array).tolist()) for name, array in inputs.items()}
        is_number = not any(isinstance(said, str) for said in truth)
        columns[self.target] = pa.array(truth) if is_number else pa.array(list(map(str, truth)))
        table = pa.table(columns)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table.cast(self._writer.schema))
        self.rows += table.num_rows

    def close(self) -> Path:
        self._writer.close()
        return self._path


def _new_writer(inputs: dict[str, Array], folder: Path) -> _ImageWriter | _TableWriter:
    images = [array for array in inputs.values() if array.ndim in (3, 4)]
    if len(images) == 1 and len(inputs) == 1:
        return _ImageWriter(folder, images[0].shape[1:])
    for name, array in inputs.items():
        _single_values(name, array)
    return _TableWriter(folder, list(inputs))


def _single_values(name: str, array: Array) -> Array:
    flat = array.reshape(len(array), -1)
    if flat.shape[1] != 1:
        raise InvalidInputError(f"input '{name}' has {flat.shape[1]} values a row: no data source of training holds it")
    return flat[:, 0]


def _truth(batch: Any) -> list[str | float]:
    pairs = zip(batch.column("label").to_pylist(), batch.column("value").to_pylist(), strict=True)
    return [label if label is not None else value for label, value in pairs]


def _label_array(labels: list[str]) -> Array:
    """Return labels as whole numbers if all are, so that training keeps their order."""
    if all(label.isascii() and label.isdigit() and str(int(label)) == label for label in labels):
        return np.array(labels, dtype=np.int64)
    return np.array(labels)
