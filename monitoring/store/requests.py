"""Recorded requests as arrays again, the newest first: what a replay sends through another version."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from aiplatform.predictions import files
from aiplatform.predictions.files import StoredFile
from aiplatform.predictions.tables import INPUT, OUTPUT, row_tensors
from monitoring.store.locations import live_files, milliseconds, root
from monitoring.store.reading import Selection, read_files

EPOCH_DAY = datetime(1970, 1, 1).toordinal()
DAY_MS = 86_400_000
Arrays = dict[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True, kw_only=True)
class StoredRequest:
    """One row of one answered request.

    Shapes: every array of `inputs` and `outputs` has one row, (1, ...), with the type it had on the wire.
    `label` or `value` is the truth, if it is known.
    """

    prediction_id: str
    row: int
    time_s: float
    version: int
    inputs: Arrays
    outputs: Arrays
    label: str | None
    value: float | None


def read_requests(
    endpoint: str, *, version: int | None = None, limit: int, before: datetime | None = None
) -> list[StoredRequest]:
    """Return up to `limit` answered rows whose inputs were kept whole, the newest first.

    Rows with redacted or hashed features are left out: a model cannot be asked them again.
    `before` leaves out what is not older. Empty where nothing is stored.
    Raises: ArtifactError if the store cannot be read.
    """
    if limit < 1:
        return []
    selection = Selection(
        until=before, version=version, where="is_whole AND http_status < 400", order="time DESC", limit=limit
    )
    order = itertools.count()  # decides between rows of one time
    newest: list[tuple[float, int, StoredRequest]] = []  # a heap, the oldest first
    for file in _newest_first(endpoint, before):
        if len(newest) == limit and file.last_ms / 1000 < newest[0][0]:
            break  # files follow by their last row, so all others are older still
        for _, batch in read_files([file], selection):
            for request in _requests(batch):
                heapq.heappush(newest, (request.time_s, -next(order), request))
                if len(newest) > limit:
                    heapq.heappop(newest)
    return [request for _, _, request in sorted(newest, key=lambda kept: kept[:2], reverse=True)]


def _newest_first(endpoint: str, before: datetime | None) -> Iterator[StoredFile]:
    """Give files by their last row, the newest first; a file is filed by its first row, so two days overlap."""
    days = files.list_days(root(), endpoint)[::-1]
    waiting: list[StoredFile] = []
    for day in days:
        found = live_files(files.list_files(root(), endpoint, day))
        waiting += [file for file in found if before is None or file.first_ms < milliseconds(before)]
        waiting.sort(key=lambda file: file.last_ms)
        midnight_ms = (day.toordinal() - EPOCH_DAY) * DAY_MS
        while waiting and waiting[-1].last_ms >= midnight_ms:
            yield waiting.pop()
    yield from reversed(waiting)


def _requests(batch: Any) -> Iterator[StoredRequest]:
    columns = {name: batch.column(name) for name in ("prediction_id", "row", "time", "version", "label", "value")}
    for i, (inputs, outputs) in enumerate(
        zip(row_tensors(batch, INPUT), row_tensors(batch, OUTPUT), strict=True)
    ):  # fmt: skip
        said = {name: column[i].as_py() for name, column in columns.items() if name != "time"}
        yield StoredRequest(time_s=columns["time"][i].value / 1e6, inputs=inputs, outputs=outputs, **said)
