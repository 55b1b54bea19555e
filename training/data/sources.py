"""The one door to data: a URI in, labelled and split rows out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from training.data import builtin, image_folder, npy, sql_places, table, tfrecord, tfrecord_images
from training.data.cache import DataCache
from training.data.combined import is_combined, load_combined
from training.data.dataset import Dataset
from training.data.fetch import fingerprint_path, local_copy
from training.data.http import CHECKSUM, is_web_address
from training.data.idx import find_idx_files, load_idx_folder
from training.data.image_folder import load_image_folder
from training.data.large_sources import find_stream, stream_path, stream_rows
from training.data.location import DataLocation, parse_location
from training.data.npz import load_npz
from training.data.reading import Reading, SourceReport, check_fingerprint, take_reading
from training.data.table_files import TABLE_SUFFIXES, TableRows, join_rows, read_table_file
from training.data.targets import AUTO

BUILTIN = {"digits": builtin.load_digits, "mnist": builtin.load_mnist}


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a path is loaded: the options it takes, whether it has columns, of which one may be a target."""

    load: Callable[[Path, Reading], Dataset]
    options: tuple[str, ...] = ()
    has_columns: bool = False


@dataclass(frozen=True, kw_only=True)
class DataPlaces:
    """Where data may come from and lie. `databases`: addresses by name; they may hold passwords."""

    scratch: Path
    cache: DataCache | None = None
    databases: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory_bytes: int = 0  # a set that takes more is left on disk and read in buffers; 0: none is


def load_dataset(
    uri: str,
    *,
    target: str | None,
    seed: int,
    scratch: Path,
    cache: DataCache | None = None,
    databases: Mapping[str, str] | None = None,
    memory_bytes: int = 0,
    expected: Mapping[str, str] | None = None,
    reports: list[SourceReport] | None = None,
    task: str = AUTO,
) -> Dataset:
    """Return the data of a URI, split into training, validation and test rows.

    `all:FIRST|SECOND` names several sources that are one (training.data.combined).
    `target` names the column to predict in a table, `task` says what it is; images have none. Downloads go to
    `scratch`, or into `cache`.
    A source that takes more than `memory_bytes` in memory (0: any) is written to `scratch` and read in buffers from
    there; the sources of `all:` are read whole. The caller removes `scratch`.
    `expected` are fingerprints by source: of registered data, which must be what they were then.
    What was found in each source is added to `reports`, also when it cannot be used.
    Raises: InvalidInputError or InvalidConfigurationError naming what is wrong with the data or
    the order; UnavailableError if a store, a database or a download cannot be reached.
    """
    places = DataPlaces(scratch=scratch, cache=cache, databases=databases or {}, memory_bytes=memory_bytes)
    found = [] if reports is None else reports

    def load_one(part: str, places: DataPlaces) -> Dataset:
        data = _load_one(part, target=target, task=task, seed=seed, places=places, reports=found)
        check_fingerprint(part, data.fingerprint, (expected or {}).get(part))
        return data

    if is_combined(uri):
        return load_combined(uri, lambda part: load_one(part, replace(places, memory_bytes=0)))
    return load_one(uri, places)


def _load_one(
    uri: str, *, target: str | None, task: str, seed: int, places: DataPlaces, reports: list[SourceReport]
) -> Dataset:
    location, reading = take_reading(parse_location(uri), seed=seed, target=target, task=task)
    reports.append(reading.report)
    if location.place in BUILTIN:
        return _load_named(location, reading)
    if sql_places.is_sql(location.place):
        return _load_query(location, reading, places)
    checksum = ""
    if is_web_address(location.place):
        location, checksum = location.take_option(CHECKSUM)
    with local_copy(location.place, scratch=places.scratch, cache=places.cache, checksum=checksum) as path:
        return _load_path(path, location, replace(reading, options=location.options), places)


def _load_named(location: DataLocation, reading: Reading) -> Dataset:
    location.check_options(())
    _check_target(location, reading, has_columns=False)
    return BUILTIN[location.place](reading)


def _load_query(location: DataLocation, reading: Reading, places: DataPlaces) -> Dataset:
    from training.data.sql import query_rows  # a database's client is loaded only for a database

    location.check_options(sql_places.OPTIONS)
    rows = query_rows(location.place, places.databases, reading)
    first: list[TableRows] = []
    for block in rows:
        first.append(block)
        if places.memory_bytes and sum(one.table.nbytes for one in first) * 2 > places.memory_bytes:
            return stream_rows(chain(first, rows), reading, scratch=places.scratch, memory_bytes=places.memory_bytes)
    return table.build_table_dataset(join_rows(first, reading.report.source), reading)


def _load_path(path: Path, location: DataLocation, reading: Reading, places: DataPlaces) -> Dataset:
    found = _find_format(path, location, reading)
    location.check_options(found.options)
    _check_target(location, reading, has_columns=found.has_columns)
    reading.report.fingerprint = fingerprint_path(path)
    stream = find_stream(path, reading) if places.memory_bytes else None
    if stream is not None and stream[2] > places.memory_bytes:
        return stream_path(path, reading, stream, scratch=places.scratch, memory_bytes=places.memory_bytes)
    return found.load(path, reading)


def _find_format(path: Path, location: DataLocation, reading: Reading) -> Format:
    name = path.name.lower()
    if tfrecord.is_tfrecord(path):
        if tfrecord_images.find_images(path, reading) is not None:
            return Format(load=_load_record_images, options=tfrecord_images.OPTIONS)
        return Format(load=_load_records, options=table.OPTIONS, has_columns=True)
    if path.is_dir():
        return _find_folder_format(path)
    if name.endswith(".npz"):
        return Format(load=load_npz)
    if name.endswith(".npy"):
        return Format(load=_load_npy_file, options=table.OPTIONS, has_columns=True)
    if name.endswith(TABLE_SUFFIXES):
        return Format(load=_load_table_file, options=table.OPTIONS, has_columns=True)
    raise InvalidInputError(
        f"'{location.place}' is of no known kind: a file must end in .npz, .npy, {', '.join(TABLE_SUFFIXES)}, "
        f"{', '.join(tfrecord.SUFFIXES)}; a folder must hold IDX, .npy or TFRecord files, or PNG or JPEG images in "
        "folders named by class"
    )


def _find_folder_format(path: Path) -> Format:
    if find_idx_files(path):
        return Format(load=load_idx_folder)
    if npy.find_npy_files(path):
        return Format(load=_load_npy_folder, options=table.OPTIONS)
    return Format(load=load_image_folder, options=image_folder.OPTIONS)


def _check_target(location: DataLocation, reading: Reading, *, has_columns: bool) -> None:
    if reading.target and not has_columns:
        raise InvalidConfigurationError(
            f"a target column is for tables (CSV, Parquet, JSON lines, .npy, TFRecord, SQL); '{location.place}' has no "
            "columns to choose from"
        )


def _load_table_file(path: Path, reading: Reading) -> Dataset:
    return table.build_table_dataset(read_table_file(path, reading.report), reading)


def _load_npy_file(path: Path, reading: Reading) -> Dataset:
    return table.build_table_dataset(npy.file_rows(path), reading)


def _load_npy_folder(path: Path, reading: Reading) -> Dataset:
    files = npy.find_npy_files(path)
    arrays = {part: (npy.open_array(inputs), npy.open_array(labels)) for part, (inputs, labels) in files.items()}
    if all(inputs.ndim == 2 for inputs, _ in arrays.values()):
        rows, target, split = npy.folder_rows(arrays, reading)
        return table.build_table_dataset(rows, replace(reading, target=target, split=split))
    return npy.load_npy_images(arrays, reading)


def _load_records(path: Path, reading: Reading) -> Dataset:
    rows = join_rows(tfrecord.record_rows(path, reading), reading.report.source)
    return table.build_table_dataset(rows, reading)


def _load_record_images(path: Path, reading: Reading) -> Dataset:
    found = tfrecord_images.find_images(path, reading)
    if found is None:
        raise InvalidInputError(f"'{reading.report.source}' holds no images")
    return tfrecord_images.load_images(path, found, reading)
