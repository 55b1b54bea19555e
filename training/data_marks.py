"""Tells whether data is new without reading it: by what its place says of it (ETag, time, size)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from aiplatform.errors import InvalidInputError
from aiplatform.storage import is_remote, local_path, open_filesystem, store_errors
from training.data.combined import split_uri
from training.data.fetch import VERSION_MARKS
from training.data.http import is_web_address
from training.data.location import parse_location

_BUILTIN = ("digits", "mnist")


def data_mark(uri: str) -> str:
    """Return a text that changes when the data at a URI does.

    Raises: InvalidInputError if there is none, or its place can say nothing new; a class of PlatformError if the store
    cannot be read.
    """
    parts = [_mark(part) for part in split_uri(uri)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def check_watchable(uri: str) -> None:
    """Raise InvalidInputError if no place of a URI can ever hold other data."""
    if all(_is_fixed(part) for part in split_uri(uri)):
        raise InvalidInputError(
            f"'{uri}' is always the same data, so there is nothing to wait for; watch a path, s3:// or gs://"
        )


def _is_fixed(uri: str) -> bool:
    place = parse_location(uri).place
    return is_web_address(place) or place in _BUILTIN  # a web address comes with the checksum of its data


def _mark(uri: str) -> Any:
    place = parse_location(uri).place
    if _is_fixed(uri):
        return uri
    return _remote_mark(place) if is_remote(place) else _local_mark(local_path(place).expanduser())


def _remote_mark(uri: str) -> list[Any]:
    with store_errors(f"could not list {uri}"):
        filesystem, root = open_filesystem(uri)
        found = filesystem.find(root, detail=True)
    if not found:
        raise InvalidInputError(f"there is no data at '{uri}': no object has that name or prefix")
    return [
        [name, info.get("size"), [str(info[mark]) for mark in VERSION_MARKS if mark in info]]
        for name, info in sorted(found.items())
    ]


def _local_mark(path: Path) -> list[Any]:
    if not path.exists():
        raise InvalidInputError(f"there is no data at '{path}': no such file or folder")
    files = [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
    return [[str(file), status.st_size, status.st_mtime_ns] for file in files for status in [file.stat()]]
