"""A bounded folder of batches on disk, which survives the process.

Each process has a folder of its own below the spool's root and holds a lock on it. The shipper reads
all folders; a lock that is free marks a dead process, whose files the shipper takes over. A file is
written under another name, synced, then renamed, so it is whole or not there; its first line names
the format and a checksum, which finds what a disk has damaged.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from aiplatform.contracts.monitoring import RecordPredictions
from aiplatform.durable import sync_to_disk
from aiplatform.errors import InvalidInputError
from aiplatform.http.codec import PACKED_TYPE, decode_message, encode_packed

log = structlog.get_logger(__name__)

LOCK = "lock"
SUFFIX = ".batch"
SET_ASIDE = "set-aside"  # beside the processes' folders
MAX_SET_ASIDE = 20  # files kept for people to look at
FORMAT = b"predictions-2"  # msgpack of columns; files of another format are set aside

OnDrop = Callable[[int, str], None]  # rows, reason
T = TypeVar("T")


class SpoolFileCorruptError(Exception):
    """A spool file is not what was written."""


class SpoolFormatError(Exception):
    """A spool file is of a format that this release does not know."""


class Spool:
    """This process's spool; `open` before use. One appends while another process takes.

    `max_bytes` bounds the files; when it is met the oldest go, and `on_drop` is told how many rows.
    `form` is named in the first line of each file.
    """

    def __init__(
        self, root: Path, *, replica: str, max_bytes: int, on_drop: OnDrop, form: bytes = FORMAT
    ) -> None:  # fmt: skip
        self._root = root
        self._form = form
        self._replica = replica
        self._max_bytes = max_bytes
        self._on_drop = on_drop
        self._lock_file: int | None = None
        self._last_name_ns = 0
        self.folder = root / replica

    def open(self) -> None:
        """Make and lock a folder; OSError if the disk refuses."""
        self.folder, self._lock_file = _claim_new_folder(self._root, self._replica)

    def close(self) -> None:
        """Give the folder up; remove it if nothing is left in it."""
        if self._lock_file is None:
            return
        if not self.list_files():
            _remove_folder(self.folder)
        os.close(self._lock_file)
        self._lock_file = None

    def append(self, order: RecordPredictions) -> None:
        """Write batches to disk; they are safe when this returns. OSError if the disk refuses."""
        self.append_body(encode_packed(order), rows=sum(batch.row_count for batch in order.batches))

    def append_body(self, body: bytes, *, rows: int) -> None:
        """Do the same with a message that is packed already and stands for so many rows."""
        head = b"%s %08x\n" % (self._form, zlib.crc32(body))
        self._make_room(len(head) + len(body))
        self._last_name_ns = max(time.time_ns(), self._last_name_ns + 1)  # names sort even if the clock goes back
        path = self.folder / f"{self._last_name_ns:020d}-{secrets.token_hex(4)}-{rows}{SUFFIX}"
        draft = path.with_suffix(".draft")
        try:
            with draft.open("wb") as file:
                file.write(head)
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
            sync_to_disk(self.folder)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def list_files(self) -> list[Path]:
        """Return this process's files, oldest first."""
        return sorted(_files_in(self.folder))

    def list_all_files(self) -> list[Path]:
        """Return the files of all processes, oldest first; a file may be gone by the time it is read."""
        found = (path for folder in (self.folder, *self._folders()) for path in _files_in(folder))
        return sorted((path for path in found if _is_waiting(path)), key=_name)

    def has_living_others(self) -> bool:
        """Say whether another process still holds a folder here."""
        return any(_is_locked(folder) for folder in self._folders())

    def size_bytes(self) -> int:
        """Return what the files take."""
        return sum(_size(path) for path in self.list_files())

    def remove(self, path: Path) -> None:
        """Forget a file that has been shipped."""
        path.unlink(missing_ok=True)

    def set_aside(self, path: Path, reason: str) -> None:
        """Move a file out of the way that can never be shipped, for people to look at."""
        target = self._root / SET_ASIDE
        target.mkdir(parents=True, exist_ok=True)
        self._on_drop(_rows(path), reason)
        log.error("spool_file_set_aside", path=str(path), reason=reason, kept_in=str(target))
        try:
            path.rename(target / path.name)
        except OSError:
            path.unlink(missing_ok=True)
        for old in sorted(target.glob(f"*{SUFFIX}"))[:-MAX_SET_ASIDE]:
            old.unlink(missing_ok=True)

    def adopt(self) -> int:
        """Take over the files of processes that are gone; return how many files."""
        if self._lock_file is None:
            return 0
        return sum(self._adopt_folder(folder) for folder in self._folders())

    def _folders(self) -> list[Path]:
        """Return the other processes' folders."""
        folders = [path for path in self._root.iterdir() if path.is_dir() and path.name != SET_ASIDE]
        return [folder for folder in folders if folder != self.folder]

    def _adopt_folder(self, folder: Path) -> int:
        lock = _try_lock(folder)
        if lock is None:
            return 0
        try:
            files = sorted(_files_in(folder))
            for path in files:
                path.rename(self.folder / path.name)
            _remove_folder(folder)
        finally:
            os.close(lock)
        if files:
            sync_to_disk(self.folder)
            self._make_room(0)
            log.info("spool_adopted", folder=folder.name, files=len(files))
        return len(files)

    def _make_room(self, needed_bytes: int) -> None:
        files = self.list_files()
        total = sum(_size(path) for path in files)
        while files and total + needed_bytes > self._max_bytes:
            oldest = files.pop(0)
            total -= _size(oldest)
            oldest.unlink(missing_ok=True)
            self._on_drop(_rows(oldest), "spool_full")


def read_spool_file(path: Path) -> RecordPredictions:
    """Return the batches in a file.

    Raises: SpoolFileCorruptError if it was altered; SpoolFormatError if another release wrote it;
    FileNotFoundError if it has been dropped.
    """
    return read_spooled(path, RecordPredictions, form=FORMAT)


def read_spooled(path: Path, kind: type[T], *, form: bytes) -> T:
    """Return the message in a file of a form; raises as `read_spool_file`."""
    head, _, body = path.read_bytes().partition(b"\n")
    name, _, checksum = head.partition(b" ")
    if name != form:
        family = form.rpartition(b"-")[0] + b"-"
        if _is_checksum(name) or name.startswith(family):  # the first format had only the checksum
            raise SpoolFormatError(f"{path}: the format is not {form.decode()}")
        raise SpoolFileCorruptError(f"{path}: the first line is damaged")
    if not _is_checksum(checksum) or int(checksum, 16) != zlib.crc32(body):
        raise SpoolFileCorruptError(f"{path}: the checksum differs")
    try:
        return decode_message(body, kind, content_type=PACKED_TYPE)
    except InvalidInputError as error:
        raise SpoolFileCorruptError(f"{path}: {error.message}") from error


def spooled_rows(path: Path) -> int:
    """Return how many rows a file stands for; its name says it."""
    return _rows(path)


def _is_checksum(text: bytes) -> bool:
    return len(text) == 8 and all(digit in b"0123456789abcdef" for digit in text)


def _files_in(folder: Path) -> list[Path]:
    """Return the files in a folder; none if it is gone, as the folder of a process that has just ended may be."""
    try:
        return [path for path in folder.iterdir() if path.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []


def _is_waiting(path: Path) -> bool:
    return path.parent.name != SET_ASIDE


def _name(path: Path) -> str:
    return path.name


def _claim_new_folder(root: Path, replica: str) -> tuple[Path, int]:
    folder = root / replica
    for _ in range(10):
        folder.mkdir(parents=True, exist_ok=True)
        lock = _try_lock(folder)  # another process may take a folder for dead between mkdir and lock
        if lock is not None:
            return folder, lock
        folder = root / f"{replica}-{secrets.token_hex(3)}"
    raise OSError(f"could not lock a spool folder below {root}")


def _try_lock(folder: Path) -> int | None:
    path = folder / LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists() and os.fstat(lock).st_ino == path.stat().st_ino:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _is_locked(folder: Path) -> bool:
    if not (folder / LOCK).exists():
        return False
    lock = _try_lock(folder)
    if lock is None:
        return (folder / LOCK).exists()
    os.close(lock)
    return False


def _remove_folder(folder: Path) -> None:
    for path in folder.glob("*.draft"):
        path.unlink(missing_ok=True)
    (folder / LOCK).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        log.warning("spool_folder_not_removed", folder=str(folder), error=str(error))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _rows(path: Path) -> int:
    count = path.stem.rpartition("-")[2]
    return int(count) if count.isdecimal() else 0
