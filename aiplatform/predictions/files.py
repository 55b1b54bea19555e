"""Where recorded predictions lie: predictions/endpoint=E/date=YYYY-MM-DD/FIRST-LAST-BATCH.parquet.

FIRST and LAST are the times of its rows in milliseconds, so a listing tells where to look. BATCH is its
identity: a file is written whole or not at all, and what is there is never written a second time.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from aiplatform.durable import sync_to_disk
from aiplatform.errors import InvalidInputError
from aiplatform.storage import is_remote, join_uri, local_path, open_filesystem, store_errors

FOLDER = "predictions"
SUFFIX = ".parquet"
_NAME = re.compile(r"(\d{13})-(\d{13})-([A-Za-z0-9_.-]{1,100})\.parquet")
_ENDPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True, kw_only=True, order=True)
class StoredFile:
    """One file, known by its name alone; sorts by time."""

    first_ms: int
    last_ms: int
    batch: str
    endpoint: str
    day: date
    uri: str
    size_bytes: int = 0

    @property
    def name(self) -> str:
        """Return the last part of the URI."""
        return self.uri.rpartition("/")[2]


def store_root(artifact_store: str) -> str:
    """Return the folder of all recorded predictions."""
    return join_uri(artifact_store, FOLDER)


def file_uri(root: str, *, endpoint: str, day: date, first_ms: int, last_ms: int, batch: str) -> str:
    """Return where a batch belongs.

    Raises: InvalidInputError if the endpoint's name cannot be part of a path.
    """
    name = f"{max(0, first_ms):013d}-{max(0, last_ms):013d}-{batch}{SUFFIX}"
    return join_uri(day_uri(root, endpoint, day), name)


def endpoint_uri(root: str, endpoint: str) -> str:
    """Return the folder of an endpoint; InvalidInputError if its name cannot be part of a path."""
    if not _ENDPOINT.fullmatch(endpoint):
        raise InvalidInputError(f"'{endpoint}' cannot be the name of an endpoint")
    return join_uri(root, f"endpoint={endpoint}")


def day_uri(root: str, endpoint: str, day: date) -> str:
    """Return the folder of an endpoint's day."""
    return join_uri(endpoint_uri(root, endpoint), f"date={day.isoformat()}")


def day_of(milliseconds: int) -> date:
    """Return the day (UTC) of a time."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).date()


def list_endpoints(root: str) -> list[str]:
    """Return the endpoints that have a folder; ArtifactError if the store cannot be read."""
    return sorted(_folders(root, "endpoint="))


def list_days(root: str, endpoint: str) -> list[date]:
    """Return the days of which something is stored, the oldest first."""
    return sorted(date.fromisoformat(name) for name in _folders(endpoint_uri(root, endpoint), "date="))


def list_files(root: str, endpoint: str, day: date) -> list[StoredFile]:
    """Return a day's files in order of time; ArtifactError if the store cannot be read."""
    return sorted(_files(day_uri(root, endpoint, day), endpoint, day))


def exists(uri: str) -> bool:
    """Say whether a file is there; ArtifactError if the store does not answer."""
    with store_errors(f"could not look for {uri}"):
        filesystem, path = open_filesystem(uri)
        return filesystem.exists(path)


def write_whole(uri: str, content: bytes) -> None:
    """Write a file so that it is there whole or not at all; replaces what is there.

    Raises: ArtifactError if the store refuses.
    """
    with store_errors(f"could not write {uri}"):
        if is_remote(uri):
            filesystem, path = open_filesystem(uri)
            filesystem.pipe_file(path, content)  # an object appears when its upload is complete
            return
        target = local_path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.draft")
        try:
            draft.write_bytes(content)
            sync_to_disk(draft)
            draft.rename(target)
            sync_to_disk(target.parent)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


def put_whole(uri: str, source: Path) -> None:
    """Copy a local file to its place so that it is there whole or not at all; replaces what is there.

    Raises: ArtifactError if the store refuses.
    """
    with store_errors(f"could not write {uri}"):
        if is_remote(uri):
            filesystem, path = open_filesystem(uri)
            filesystem.put_file(str(source), path)
            return
        target = local_path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.draft")
        try:
            shutil.copyfile(source, draft)
            sync_to_disk(draft)
            draft.rename(target)
            sync_to_disk(target.parent)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


def read_whole(uri: str) -> bytes:
    """Return a file's content; ArtifactError if it cannot be read."""
    with store_errors(f"could not read {uri}"):
        filesystem, path = open_filesystem(uri)
        return filesystem.cat_file(path)


def remove_file(uri: str) -> None:
    """Remove a file that may be gone already; ArtifactError if the store refuses."""
    with store_errors(f"could not remove {uri}"):
        filesystem, path = open_filesystem(uri)
        try:
            filesystem.rm(path)
        except FileNotFoundError:
            return


def remove_day(root: str, endpoint: str, day: date) -> int:
    """Remove a whole day; return how many files."""
    uri = day_uri(root, endpoint, day)
    files = list_files(root, endpoint, day)
    with store_errors(f"could not remove {uri}"):
        filesystem, path = open_filesystem(uri)
        if filesystem.exists(path):
            filesystem.rm(path, recursive=True)
    return len(files)


def _folders(uri: str, prefix: str) -> Iterator[str]:
    for entry in _listed(uri):
        name = str(entry["name"]).rstrip("/").rpartition("/")[2]
        if name.startswith(prefix):
            yield name.removeprefix(prefix)


def _files(uri: str, endpoint: str, day: date) -> Iterator[StoredFile]:
    for entry in _listed(uri):
        name = str(entry["name"]).rpartition("/")[2]
        found = _NAME.fullmatch(name)
        if found:
            first, last, batch = found.groups()
            yield StoredFile(
                first_ms=int(first), last_ms=int(last), batch=batch, endpoint=endpoint, day=day,
                uri=join_uri(uri, name), size_bytes=int(entry.get("size") or 0),
            )  # fmt: skip


def _listed(uri: str) -> list[dict[str, Any]]:
    with store_errors(f"could not list {uri}"):
        filesystem, path = open_filesystem(uri)
        try:
            return list(filesystem.ls(path, detail=True))
        except FileNotFoundError:
            return []
