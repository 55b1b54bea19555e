"""Where artifacts and data lie: a local folder, S3 or GCS, behind one URI.

fsspec does the work; s3fs and gcsfs are imported only when such a URI is met. Credentials and
endpoints come from their own variables (AWS_*, GOOGLE_APPLICATION_CREDENTIALS, STORAGE_EMULATOR_HOST).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import fsspec

from aiplatform.errors import ArtifactError, InvalidInputError, PlatformError

REMOTE_SCHEMES = ("s3", "gs", "gcs")


class FileSystem(Protocol):
    """The part of fsspec's interface that we use."""

    def exists(self, path: str) -> bool: ...
    def put_file(self, lpath: str, rpath: str) -> None: ...
    def get_file(self, rpath: str, lpath: str) -> None: ...
    def cat_file(self, path: str) -> bytes: ...
    def find(self, path: str, detail: bool = False) -> Any: ...
    def ls(self, path: str, detail: bool = True) -> list[Any]: ...
    def pipe_file(self, path: str, value: bytes) -> None: ...
    def rm(self, path: str, recursive: bool = False) -> None: ...
    def open(self, path: str, mode: str = "rb") -> Any: ...


def is_remote(uri: str) -> bool:
    """Say whether a URI names an object store."""
    return uri.split("://", 1)[0] in REMOTE_SCHEMES if "://" in uri else False


def local_path(uri: str) -> Path:
    """Return the path of a local URI (`file:///x` or a plain path).

    Raises: InvalidInputError for any other scheme.
    """
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    if "://" in uri:
        raise InvalidInputError(f"'{uri}' is not a local path")
    return Path(uri)


def open_filesystem(uri: str) -> tuple[FileSystem, str]:
    """Return the file system of a URI and the path within it.

    Listings are never taken from memory: another process may have written or removed what they say.
    Raises: InvalidInputError if the scheme is not file, s3 or gs.
    """
    scheme = uri.split("://", 1)[0] if "://" in uri else "file"
    if scheme != "file" and scheme not in REMOTE_SCHEMES:
        raise InvalidInputError(f"'{uri}': the scheme must be file, s3 or gs, not '{scheme}'")
    filesystem, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    return cast(FileSystem, filesystem), str(path)


def join_uri(root: str, *parts: str) -> str:
    """Append path segments to a URI."""
    return "/".join([root.rstrip("/"), *(part.strip("/") for part in parts)])


def upload_folder(folder: Path, uri: str, *, last: str) -> None:
    """Copy a folder to an object store, the file named `last` after all others.

    Readers treat that file as the mark of a complete upload.
    Raises: ArtifactError if the file named `last` is there already, or the store cannot be written.
    """
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    with store_errors(f"could not upload to {uri}"):
        filesystem, root = open_filesystem(uri)
        if filesystem.exists(f"{root}/{last}"):
            raise ArtifactError(f"{uri} exists already; a version is immutable")
        for name in [*(f for f in files if f != last), last]:
            filesystem.put_file(str(folder / name), f"{root}/{name}")


def download_folder(uri: str, folder: Path) -> None:
    """Copy all files below a URI into a folder.

    Raises: ArtifactError if there are none, one lies outside, or the store cannot be read.
    """
    with store_errors(f"could not download {uri}"):
        filesystem, root = open_filesystem(uri)
        names = filesystem.find(root)
        if not names:
            raise ArtifactError(f"no artifact at {uri}: no object has that prefix")
        for name in names:
            target = folder / str(name)[len(root) :].lstrip("/")
            if folder.resolve() not in target.resolve().parents:
                raise ArtifactError(f"{uri}: object '{name}' would be written outside its folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            filesystem.get_file(name, str(target))


@contextmanager
def store_errors(what_failed: str) -> Iterator[None]:
    """Turn whatever a store raises into an ArtifactError that begins with what failed."""
    try:
        yield
    except PlatformError:
        raise
    except Exception as error:  # object stores raise kinds of their own for refused and unreachable
        raise ArtifactError(f"{what_failed}: {type(error).__name__}: {error}") from error


def remove_folder(folder: Path) -> None:
    """Remove a local folder if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
