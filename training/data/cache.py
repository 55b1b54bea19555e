"""Keeps what was downloaded, by what it is: the second run over the same bytes fetches nothing.

    <folder>/<key>/...        one download, whole: it is made under another name and renamed
    <folder>/<key>.lock       held, shared, by whoever reads it; what is held is not removed

A key names content (a checksum, or the store's own version marks), so that data which has changed has another. Above
the limit the entries that were used longest ago go. Several processes may share a folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Fetch = Callable[[Path], None]  # fills an empty folder


@dataclass(frozen=True, kw_only=True)
class DataCache:
    """A folder of downloads; `limit_bytes` 0 keeps nothing beyond its use."""

    folder: Path
    limit_bytes: int

    @contextmanager
    def hold(self, key: str, fetch: Fetch) -> Iterator[Path]:
        """Give the folder of a key, fetched if it is not there; it stays at least until the end of the block.

        Raises: what `fetch` raises; then nothing is kept.
        """
        name = hashlib.sha256(key.encode()).hexdigest()[:40]
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            place = self._make(name, lock, fetch)
            os.utime(place)  # when it was used last
            yield place
        finally:
            os.close(lock)
        self.trim()

    def trim(self) -> None:
        """Remove what was used longest ago until the rest is within the limit."""
        entries = [place for place in self.folder.iterdir() if place.is_dir() and place.name[0] != "."]
        used = {place: (_used_at(place), _size_bytes(place)) for place in entries}
        total = sum(size for _, size in used.values())
        for place in sorted(entries, key=lambda place: used[place][0]):
            if total <= self.limit_bytes:
                return
            if self._remove(place):
                total -= used[place][1]

    def _make(self, name: str, lock: int, fetch: Fetch) -> Path:
        """Return the entry's folder with a shared lock on it; one process fetches, others wait for it."""
        place = self.folder / name
        fcntl.flock(lock, fcntl.LOCK_SH)
        while not place.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.exists():
                self._fetch(place, fetch)
            fcntl.flock(lock, fcntl.LOCK_SH)  # not in one step: it may have been removed in between
        return place

    def _fetch(self, place: Path, fetch: Fetch) -> None:
        staging = self.folder / f".staging-{secrets.token_hex(8)}"
        staging.mkdir()
        try:
            fetch(staging)
            staging.rename(place)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _remove(self, place: Path) -> bool:
        lock = os.open(self.folder / f"{place.name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # in use
        else:
            shutil.rmtree(place, ignore_errors=True)
            return True
        finally:
            os.close(lock)


def _size_bytes(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _used_at(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:
        return 0.0  # another process has just removed it
