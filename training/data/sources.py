"""The one door to data: a URI in, labelled and split rows out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from training.data import builtin, image_folder, table
from training.data.cache import DataCache
from training.data.combined import is_combined, load_combined
from training.data.dataset import Dataset
from training.data.fetch import fingerprint_path, local_copy
from training.data.http import CHECKSUM, is_web_address
from training.data.idx import find_idx_files, load_idx_folder
from training.data.image_folder import load_image_folder
from training.data.location import DataLocation, parse_location
from training.data.npz import load_npz
from training.data.reading import Reading, SourceReport, take_reading
from training.data.table_files import TABLE_SUFFIXES, read_table_file

BUILTIN = {"digits": builtin.load_digits, "mnist": builtin.load_mnist}
Loader = Callable[[Path, Reading], Dataset]


def load_dataset(
    uri: str,
    *,
    target: str | None,
    seed: int,
    scratch: Path,
    cache: DataCache | None = None,
    reports: list[SourceReport] | None = None,
) -> Dataset:
    """Return the data of a URI, split into training, validation and test rows.

    `all:FIRST|SECOND` names several sources that are one (training.data.combined).
    `target` names the column to predict in a table; images have none. Downloads go to `scratch`, or into `cache`.
    What was found in each source is added to `reports`, also when it cannot be used.
    Raises: InvalidInputError or InvalidConfigurationError naming what is wrong with the data or
    the order; UnavailableError if a store or a download cannot be reached.
    """
    if is_combined(uri):

        def load_one(part: str) -> Dataset:
            return load_dataset(part, target=target, seed=seed, scratch=scratch, cache=cache, reports=reports)

        return load_combined(uri, load_one)
    location, reading = take_reading(parse_location(uri), seed=seed, target=target)
    if reports is not None:
        reports.append(reading.report)
    if target and not location.path.lower().endswith(TABLE_SUFFIXES):
        raise InvalidConfigurationError(f"a target column is for CSV, Parquet and JSON lines; '{uri}' has no columns")
    if location.place in BUILTIN:
        location.check_options(())
        return BUILTIN[location.place](reading)
    checksum = ""
    if is_web_address(location.place):
        location, checksum = location.take_option(CHECKSUM)
    with local_copy(location.place, scratch=scratch, cache=cache, checksum=checksum) as path:
        return _load_path(path, location, replace(reading, options=location.options))


def _load_path(path: Path, location: DataLocation, reading: Reading) -> Dataset:
    name = path.name.lower()
    loader: Loader
    if path.is_dir():
        loader, options = (load_idx_folder, ()) if find_idx_files(path) else (load_image_folder, image_folder.OPTIONS)
    elif name.endswith(".npz"):
        loader, options = load_npz, ()
    elif name.endswith(TABLE_SUFFIXES):
        loader, options = load_table, table.OPTIONS
    else:
        raise InvalidInputError(
            f"'{location.place}' is of no known kind: a file must end in .npz, {', '.join(TABLE_SUFFIXES)}; "
            "a folder must hold IDX files or PNG or JPEG images in folders named by class"
        )
    location.check_options(options)
    reading.report.fingerprint = fingerprint_path(path)
    return loader(path, reading)


def load_table(path: Path, reading: Reading) -> Dataset:
    """Return the rows of a CSV, Parquet or JSON lines file; see training.data.table."""
    return table.build_table_dataset(read_table_file(path, reading.report), reading)
