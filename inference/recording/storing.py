"""Moves whole predictions from this machine's spools into the artifact store: each once, as Parquet.

Files of the spool are gathered into a *batch*: a folder whose content no longer changes. From it come
the same Parquet files however often it is shipped, and one that is there already is not written again.

    forming-B/   files are being moved in        a process that dies here leaves a smaller batch
    batch-B/     its content is settled          written again from the start; what is there is left alone
    done-B/      all of it is in the store       only removed
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from aiplatform.errors import InvalidInputError
from aiplatform.predictions.files import day_of, exists, file_uri, write_whole
from aiplatform.predictions.rows import StoredRows, StoreRows
from inference.recording.keeping import FORM
from inference.recording.spool import SUFFIX, Spool, SpoolFileCorruptError, SpoolFormatError, read_spooled

log = structlog.get_logger(__name__)

FORMING, BATCH, DONE = "forming-", "batch-", "done-"
MAX_FILE_ROWS = 200_000  # in one Parquet file; a batch may become several
Step = Callable[[str], None]


def no_step(name: str) -> None:
    """Do nothing between two steps; tests end the process there."""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """When what waits becomes a batch: as soon as there are so many bytes, or the oldest is so old."""

    size_bytes: int = 32 * 1024 * 1024
    age_s: float = 60.0


class BatchFolders:
    """The batches of one machine, below `root`; one process uses it at a time. `step` is told of each step."""

    def __init__(self, root: Path, *, limits: BatchLimits, step: Step = no_step) -> None:
        self._root = root
        self._limits = limits
        self._step = step

    def next(self, spool: Spool, *, in_full: bool = False) -> Path | None:
        """Return a settled batch: one that is left from before, or a new one; None if too little waits.

        `in_full` takes what there is, however little and young.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        for folder in self._folders(DONE):
            shutil.rmtree(folder)
        for folder in self._folders(FORMING):
            self._settle(folder)
        left = self._folders(BATCH)
        return left[0] if left else self._form(spool, in_full)

    def finish(self, folder: Path) -> None:
        """Forget a batch that is in the store."""
        done = folder.with_name(DONE + folder.name.removeprefix(BATCH))
        folder.rename(done)
        self._step("marked_done")
        shutil.rmtree(done)

    def size_bytes(self) -> int:
        """Return what the batches take."""
        return sum(path.stat().st_size for path in self._root.glob(f"*/*{SUFFIX}"))

    def _form(self, spool: Spool, in_full: bool) -> Path | None:
        waiting = [(path, _size(path)) for path in spool.list_all_files()]
        total = sum(size for _, size in waiting)
        if not waiting or not (in_full or total >= self._limits.size_bytes or self._is_due(waiting[0][0])):
            return None
        folder = self._root / (FORMING + uuid.uuid4().hex)
        folder.mkdir()
        taken = 0
        for path, size in waiting:
            if taken and taken + size > self._limits.size_bytes:
                break
            taken += self._take(path, folder, size)
            self._step("taken")
        return self._settle(folder)

    def _take(self, path: Path, folder: Path, size: int) -> int:
        try:
            path.rename(folder / path.name)
        except FileNotFoundError:
            return 0  # dropped meanwhile, because the spool was full
        return size

    def _settle(self, folder: Path) -> Path | None:
        if not any(folder.iterdir()):
            folder.rmdir()
            return None
        settled = folder.with_name(BATCH + folder.name.removeprefix(FORMING))
        folder.rename(settled)
        self._step("settled")
        return settled

    def _is_due(self, oldest: Path) -> bool:
        written_ns = oldest.name.partition("-")[0]
        return written_ns.isdecimal() and time.time() - int(written_ns) / 1e9 >= self._limits.age_s

    def _folders(self, prefix: str) -> list[Path]:
        return sorted(path for path in self._root.glob(f"{prefix}*") if path.is_dir())


class StoreWriter:
    """Writes a settled batch into the store.

    `set_aside` takes a file that cannot be read; `on_stored` is told endpoint, rows and bytes of each file.
    """

    def __init__(
        self,
        *,
        root_uri: str,
        set_aside: Callable[[Path, str], None],
        on_stored: Callable[[str, int, int], None],
        step: Step = no_step,
    ) -> None:
        self._root_uri = root_uri
        self._set_aside = set_aside
        self._on_stored = on_stored
        self._step = step

    def write(self, folder: Path) -> int:
        """Write what is not there yet; return how many rows the batch has. ArtifactError if the store refuses."""
        batch = folder.name.removeprefix(BATCH)
        rows = 0
        for i, (endpoint, part) in enumerate(_tables(self._read(folder))):
            first_ms, last_ms = _first_and_last_ms(part.table)
            uri = file_uri(
                self._root_uri, endpoint=endpoint, day=day_of(first_ms), first_ms=first_ms, last_ms=last_ms,
                batch=f"{batch}-{i}",
            )  # fmt: skip
            self._step("before_write")
            if not exists(uri):
                content = part.content()
                write_whole(uri, content)
                self._on_stored(endpoint, part.table.num_rows, len(content))
            self._step("written")
            rows += part.table.num_rows
        return rows

    def _read(self, folder: Path) -> Iterator[StoreRows]:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                yield read_spooled(path, StoreRows, form=FORM)
            except SpoolFileCorruptError:
                self._set_aside(path, "corrupt")
            except SpoolFormatError:
                self._set_aside(path, "unknown_format")


@dataclass(frozen=True)
class _Table:
    table: Any
    class_labels: tuple[str, ...]

    def content(self) -> bytes:
        from aiplatform.predictions.tables import describe_file, parquet_bytes

        return parquet_bytes(self.table, metadata=describe_file(class_labels=self.class_labels))


def _tables(orders: Iterable[StoreRows]) -> Iterator[tuple[str, _Table]]:
    """Give tables of one endpoint, version, day and schema each; the same for the same batch.

    Rows come about in order of time: by the time of the first of those that were recorded together. To sort
    them would cost more than all the rest, as lists are copied element by element.
    """
    from aiplatform.predictions.tables import table_from_rows

    groups: dict[tuple[Any, ...], list[Any]] = {}
    for part in (part for order in orders for part in order.parts):
        try:
            table = table_from_rows(part)
        except (InvalidInputError, ValueError) as error:
            log.error("stored_rows_unfit", endpoint=part.endpoint, rows=part.row_count, error=str(error))
            continue
        for day, some in _by_day(part, table):
            key = (part.endpoint, part.version, part.artifact_digest, part.class_labels, day, _schema_key(table))
            groups.setdefault(key, []).append(some)
    for key, tables in groups.items():
        for table in _joined(tables):
            yield key[0], _Table(table, key[3])


def _joined(tables: list[Any]) -> Iterator[Any]:
    import pyarrow as pa

    whole = pa.concat_tables(sorted(tables, key=lambda table: table.column("time")[0].value))
    for start in range(0, whole.num_rows, MAX_FILE_ROWS):
        yield whole.slice(start, MAX_FILE_ROWS)


def _by_day(part: StoredRows, table: Any) -> Iterator[tuple[int, Any]]:
    days = np.floor(part.times_s.unpack(part.row_count, "times_s") / 86400).astype(np.int64)
    if not len(days) or (days == days[0]).all():
        yield int(days[0]) if len(days) else 0, table
        return
    for day in np.unique(days):
        yield int(day), table.filter(days == day)


def _schema_key(table: Any) -> str:
    return str([(f.name, str(f.type), f.metadata) for f in table.schema])


def _first_and_last_ms(table: Any) -> tuple[int, int]:
    import pyarrow.compute as pc

    bounds = pc.min_max(table.column("time"))
    return int(bounds["min"].value // 1000), int(bounds["max"].value // 1000)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
