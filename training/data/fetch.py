"""Brings data to a local path, from wherever it lies, and takes its fingerprint."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiplatform.errors import InvalidInputError, PlatformError, UnavailableError
from aiplatform.storage import FileSystem, is_remote, local_path, open_filesystem


@contextmanager
def local_copy(place: str, *, scratch: Path) -> Iterator[Path]:
    """Give the path of a file or folder; what was downloaded below `scratch` goes on leaving.

    Raises: InvalidInputError if there is nothing; UnavailableError if the store cannot be read.
    """
    if not is_remote(place):
        path = local_path(place).expanduser()
        if not path.exists():
            raise InvalidInputError(f"there is no data at '{place}': no such file or folder ({path.absolute()})")
        yield path
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield _download(place, Path(folder))


def _download(place: str, folder: Path) -> Path:
    try:
        filesystem, root = open_filesystem(place)
        names = [str(name) for name in filesystem.find(root)]
        if not names:
            raise InvalidInputError(f"there is no data at '{place}': no object has that name or prefix")
        return _download_all(filesystem, root.rstrip("/"), names, folder)
    except PlatformError:
        raise
    except FileNotFoundError as error:
        raise InvalidInputError(f"there is no data at '{place}': {error}") from error
    except ImportError as error:
        raise UnavailableError(f"'{place}' cannot be read: {error}") from error
    except Exception as error:  # object stores raise kinds of their own for refused and unreachable
        raise UnavailableError(f"'{place}' cannot be read: {type(error).__name__}: {error}") from error


def _download_all(filesystem: FileSystem, root: str, names: list[str], folder: Path) -> Path:
    if names == [root]:
        target = folder / root.rsplit("/", 1)[-1]
        filesystem.get_file(root, str(target))
        return target
    for name in names:
        target = folder / name[len(root) :].lstrip("/")
        if folder.resolve() not in target.resolve().parents:
            raise InvalidInputError(f"object '{name}' would be written outside its folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        filesystem.get_file(name, str(target))
    return folder


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
