"""Where stored reports lie: compressed JSON in the artifact store, read back only if its checksum is right."""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from aiplatform.errors import ArtifactError
from aiplatform.storage import is_remote, local_path, open_filesystem, store_errors


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that was written."""

    uri: str
    sha256: str
    size_bytes: int


def write_document(uri: str, document: bytes) -> StoredFile:
    """Write a document whole or not at all.

    Raises: ArtifactError if the store cannot be written.
    """
    content = gzip.compress(document, mtime=0)
    with store_errors(f"could not write the report {uri}"):
        if is_remote(uri):
            filesystem, path = open_filesystem(uri)
            with filesystem.open(path, "wb") as file:
                file.write(content)
        else:
            _write_local(local_path(uri), content)
    return StoredFile(uri=uri, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def read_document(uri: str, *, sha256: str) -> bytes:
    """Return a document.

    Raises: ArtifactError if it is not there, or not what was written.
    """
    with store_errors(f"could not read the report {uri}"):
        filesystem, path = open_filesystem(uri)
        content = filesystem.cat_file(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ArtifactError(f"the report {uri} is not what was written: its checksum differs")
    return gzip.decompress(content)


def remove_document(uri: str) -> None:
    """Remove a document if it is there.

    Raises: ArtifactError if the store cannot be reached.
    """
    with store_errors(f"could not remove the report {uri}"):
        filesystem, path = open_filesystem(uri)
        if filesystem.exists(path):
            filesystem.rm(path)


def _write_local(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
