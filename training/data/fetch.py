"""Brings data to a local path, from wherever it lies, and takes its fingerprint."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiplatform.errors import InvalidInputError, PlatformError, UnavailableError
from aiplatform.storage import FileSystem, is_remote, local_path, open_filesystem
from training.data.cache import DataCache, Fetch
from training.data.http import fetch_file, is_web_address, require_checksum

VERSION_MARKS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "mtime")  # as the stores' clients name them


@contextmanager
def local_copy(place: str, *, scratch: Path, cache: DataCache | None = None, checksum: str = "") -> Iterator[Path]:
    """Give the path of a file or folder; what was downloaded below `scratch` goes on leaving, unless a cache keeps it.

    `checksum` is what a web address must have.
    Raises: InvalidInputError if there is nothing, or something else; UnavailableError if the store cannot be read.
    """
    if is_web_address(place):
        digest = require_checksum(place, checksum)
        with _held(cache, scratch, digest, lambda folder: fetch_file(place, digest, folder)) as folder:
            yield next(folder.iterdir())
        return
    if not is_remote(place):
        path = local_path(place).expanduser()
        if not path.exists():
            raise InvalidInputError(f"there is no data at '{place}': no such file or folder ({path.absolute()})")
        yield path
        return
    with _store_errors(place):
        listing = _list_objects(place)
    name = listing.root.rsplit("/", 1)[-1]
    with _held(cache, scratch, listing.key, lambda folder: _download_all(place, listing, folder)) as folder:
        yield folder / name if listing.is_file else folder


@contextmanager
def _held(cache: DataCache | None, scratch: Path, key: str, fetch: Fetch) -> Iterator[Path]:
    if cache is not None:
        with cache.hold(key, fetch) as folder:
            yield folder
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        fetch(Path(folder))
        yield Path(folder)


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """The objects of a place; `key` changes with their content, as far as the store marks that."""

    filesystem: FileSystem
    root: str
    names: tuple[str, ...]
    key: str

    @property
    def is_file(self) -> bool:
        return self.names == (self.root,)


def _list_objects(place: str) -> _Listing:
    filesystem, root = open_filesystem(place)
    found: dict[str, dict[str, Any]] = filesystem.find(root, detail=True)
    if not found:
        raise InvalidInputError(f"there is no data at '{place}': no object has that name or prefix")
    marks = [[name, info.get("size"), *(str(info.get(m, "")) for m in VERSION_MARKS)] for name, info in found.items()]
    key = json.dumps([place, sorted(marks, key=str)])
    return _Listing(filesystem=filesystem, root=root.rstrip("/"), names=tuple(map(str, found)), key=key)


@contextmanager
def _store_errors(place: str) -> Iterator[None]:
    try:
        yield
    except PlatformError:
        raise
    except FileNotFoundError as error:
        raise InvalidInputError(f"there is no data at '{place}': {error}") from error
    except ImportError as error:
        raise UnavailableError(f"'{place}' cannot be read: {error}") from error
    except Exception as error:  # object stores raise kinds of their own for refused and unreachable
        raise UnavailableError(f"'{place}' cannot be read: {type(error).__name__}: {error}") from error


def _download_all(place: str, listing: _Listing, folder: Path) -> None:
    with _store_errors(place):
        for name in listing.names:
            below = name.rsplit("/", 1)[-1] if listing.is_file else name[len(listing.root) :].lstrip("/")
            target = folder / below
            if folder.resolve() not in target.resolve().parents:
                raise InvalidInputError(f"object '{name}' would be written outside its folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            listing.filesystem.get_file(name, str(target))


def fingerprint_path(path: Path) -> str:
    """Return `sha256:...` of a file's bytes, or of all names and bytes below a folder.

    Names that begin with a dot are left out.
    """
    if path.is_file():
        return f"sha256:{_file_digest(path)}"
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in name.parts):
            whole.update(f"{_file_digest(file)}  {name.as_posix()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInputError(f"'{path}' cannot be read: {error}") from error
