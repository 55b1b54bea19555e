"""The one door to data: a URI in, labelled and split rows out."""

from __future__ import annotations

from pathlib import Path

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from training.data import builtin, image_folder, table
from training.data.cache import DataCache
from training.data.combined import is_combined, load_combined
from training.data.dataset import Dataset
from training.data.fetch import fingerprint_path, local_copy
from training.data.http import CHECKSUM, is_web_address
from training.data.idx import find_idx_files, load_idx_folder
from training.data.location import DataLocation, parse_location
from training.data.npz import load_npz
from training.data.targets import AUTO

BUILTIN = {"digits": builtin.load_digits, "mnist": builtin.load_mnist}
TABLE_SUFFIXES = table.CSV_SUFFIXES + table.PARQUET_SUFFIXES + table.JSON_SUFFIXES


def load_dataset(
    uri: str, *, target: str | None, seed: int, scratch: Path, cache: DataCache | None = None, task: str = AUTO
) -> Dataset:
    """Return the data of a URI, split by seed into training, validation and test rows.

    `all:FIRST|SECOND` names several sources that are one (training.data.combined).
    `target` names the column to predict in a table, `task` says what it is; images have none. Downloads go to
    `scratch`, or into `cache`.
    Raises: InvalidInputError or InvalidConfigurationError naming what is wrong with the data or
    the order; UnavailableError if a store or a download cannot be reached.
    """
    if is_combined(uri):
        return load_combined(
            uri, lambda one: load_dataset(one, target=target, seed=seed, scratch=scratch, cache=cache, task=task)
        )
    location = parse_location(uri)
    if target and not location.path.lower().endswith(TABLE_SUFFIXES):
        raise InvalidConfigurationError(f"a target column is for CSV, Parquet and JSON lines; '{uri}' has no columns")
    if location.place in BUILTIN:
        location.check_options(())
        return BUILTIN[location.place](seed=seed)
    checksum = ""
    if is_web_address(location.place):
        location, checksum = location.take_option(CHECKSUM)
    with local_copy(location.place, scratch=scratch, cache=cache, checksum=checksum) as path:
        return _load_path(path, location, target=target, seed=seed, task=task)


def _load_path(path: Path, location: DataLocation, *, target: str | None, seed: int, task: str) -> Dataset:
    name = path.name.lower()
    if path.is_dir():
        return _load_folder(path, location, seed=seed)
    if name.endswith(".npz"):
        location.check_options(())
        return load_npz(path, seed=seed, fingerprint=fingerprint_path(path))
    if name.endswith(TABLE_SUFFIXES):
        location.check_options(table.OPTIONS)
        fingerprint = fingerprint_path(path)
        return table.load_table(
            path, target=target, options=location.options, seed=seed, fingerprint=fingerprint, task=task
        )
    raise InvalidInputError(
        f"'{location.place}' is of no known kind: a file must end in .npz, {', '.join(TABLE_SUFFIXES)}; "
        "a folder must hold IDX files or PNG or JPEG images in folders named by class"
    )


def _load_folder(path: Path, location: DataLocation, *, seed: int) -> Dataset:
    if find_idx_files(path):
        location.check_options(())
        return load_idx_folder(path, seed=seed, fingerprint=fingerprint_path(path))
    location.check_options(image_folder.OPTIONS)
    fingerprint = fingerprint_path(path)
    return image_folder.load_image_folder(path, options=location.options, seed=seed, fingerprint=fingerprint)
