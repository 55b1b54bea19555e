"""Finds single predictions in their blocks: by id, singly and in bulk, and the latest ones."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from django.db.models import Q

from monitoring.blocks import BlockContent, BlockRow, earliest_first_key, key_of, unpack_block
from monitoring.models import Feedback, PredictionBlock

CHUNK = 400  # ids in one query; databases bound the number of parameters
RANGES = 100  # of ids in one query
OPENED = 20  # blocks in memory at once
SEARCHED = 200  # blocks for one page of the latest
Key = tuple[str, int]  # prediction id, row
T = TypeVar("T")


@dataclass(kw_only=True)
class FoundRow:
    """One row of one answer, and where it is kept."""

    block: PredictionBlock
    content: BlockRow
    feedback: Feedback | None = field(default=None)

    @property
    def prediction_id(self) -> str:
        """Return the answer's id."""
        return self.content.prediction_id

    @property
    def key(self) -> Key:
        """Return id and row."""
        return self.content.prediction_id, self.content.row


def find_rows(ids: Iterable[str]) -> dict[Key, FoundRow]:
    """Return all rows of the predictions that are here, in order of id and row."""
    wanted: dict[bytes, set[str]] = {}
    for name in ids:
        wanted.setdefault(key_of(name), set()).add(name)
    keys = sorted(wanted)
    found: dict[Key, FoundRow] = {}
    for block, content in _opened(_blocks_with(keys)):
        for key in _between(keys, block.first_id, block.last_id):
            for place in content.find(key):
                row = content.row_at(place)
                if row.prediction_id in wanted[key]:
                    found.setdefault((row.prediction_id, row.row), FoundRow(block=block, content=row))
    return dict(sorted(found.items()))


def attach_feedback(rows: Collection[FoundRow]) -> None:
    """Put to each row what was said of it."""
    by_key = {row.key: row for row in rows}
    for ids in chunks(sorted({row.prediction_id for row in rows})):
        for feedback in Feedback.objects.filter(prediction_key__in=ids, is_pending=False):
            row = by_key.get((feedback.prediction_key, feedback.row))
            if row is not None:
                row.feedback = feedback


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Give the items in lists short enough for one query."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _blocks_with(keys: list[bytes]) -> list[int]:
    """Return the blocks whose range holds one of the keys, which are sorted."""
    if not keys:
        return []
    found: set[int] = set()
    wide = Q(is_wide=True, first_id__lte=keys[-1].hex(), last_id__gte=keys[0].hex())
    for ranges in (wide, *(_in_any(some) for some in chunks(_ranges(keys), RANGES))):
        known = PredictionBlock.objects.filter(ranges).order_by().values_list("pk", "first_id", "last_id")
        found.update(pk for pk, first, last in known if _between(keys, first, last))
    return sorted(found)


def _in_any(ranges: list[tuple[bytes, bytes]]) -> Q:
    condition = Q()
    for first, last in ranges:
        least = earliest_first_key(first).hex()
        condition |= Q(first_id__gte=least, first_id__lte=last.hex(), last_id__gte=first.hex())
    return condition


def _ranges(keys: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Give first and last of the keys that lie close together in time."""
    first = last = keys[0]
    for key in keys[1:]:
        if earliest_first_key(key) > last:
            yield first, last
            first = key
        last = key
    yield first, last


def _between(keys: list[bytes], first_id: str, last_id: str) -> list[bytes]:
    return keys[bisect_left(keys, bytes.fromhex(first_id)) : bisect_right(keys, bytes.fromhex(last_id))]


def _opened(blocks: list[int]) -> Iterator[tuple[PredictionBlock, BlockContent]]:
    for some in chunks(blocks, OPENED):
        rows = PredictionBlock.objects.filter(pk__in=some).select_related("window__served").order_by("pk")
        for block in rows.defer("window__latency", "window__profile", "window__sketches"):
            yield block, unpack_block(block.content)


Cursor = tuple[int, int]  # a block, and how many of its rows have been shown


@dataclass(frozen=True, kw_only=True)
class PredictionPage:
    """Some of the latest predictions; `following` is where the next page begins, None at the end."""

    rows: list[FoundRow]
    following: Cursor | None


def list_latest(
    *, endpoint: str = "", version: int | None = None, label: str = "", start: Cursor | None = None, limit: int = 50
) -> PredictionPage:
    """Return the latest predictions, from the newest or from `start`; searches SEARCHED blocks at most."""
    found = PredictionBlock.objects.order_by("-pk")
    if endpoint:
        found = found.filter(window__served__endpoint=endpoint)
    if version is not None:
        found = found.filter(window__served__version=version)
    if start is not None:
        found = found.filter(pk__lte=start[0])
    blocks = list(found.values_list("pk", flat=True)[: SEARCHED + 1])
    rows: list[FoundRow] = []
    for block in blocks[:SEARCHED]:
        shown = start[1] if start is not None and start[0] == block else 0
        more = _latest_of(block, label, shown, limit + 1 - len(rows))
        rows += more
        if len(rows) > limit:
            return PredictionPage(rows=rows[:limit], following=(block, shown + len(more) - 1))
    return PredictionPage(rows=rows, following=(blocks[SEARCHED], 0) if len(blocks) > SEARCHED else None)


def _latest_of(key: int, label: str, skipped: int, limit: int) -> list[FoundRow]:
    """Return rows of one block, newest first, of one predicted label if it is given."""
    return [
        FoundRow(block=block, content=content.row_at(place))
        for block, content in _opened([key])  # none, if the retention has just removed it
        for place in content.newest_first(label)[skipped : skipped + limit].tolist()
    ]
