"""Which rows of a file are asked for: as SQL, as a filter of Arrow batches, and by the statistics of row groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiplatform.late import late_module

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = late_module("pyarrow")
    pc = late_module("pyarrow.compute")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which rows of a file: from `since` to before `until`, of a version, of predictions; as `where` says.

    `where` is SQL over the columns as they are read, in which labels are joined; `order` and `limit` are SQL too.
    Of a file only `columns` are read, and those that every file has; one without one of them has no such rows.
    """

    since: datetime | None = None
    until: datetime | None = None
    version: int | None = None
    prediction_ids: tuple[str, ...] = ()
    where: str = ""
    order: str = ""
    limit: int | None = None
    columns: tuple[str, ...] | None = None

    @property
    def asks_sql(self) -> bool:
        """Say whether only the query engine can answer it."""
        return bool(self.where or self.order or self.limit is not None)


def condition(selection: Selection) -> str:
    """Return a selection as SQL; its ids are the table `wanted`."""
    parts = [f"({selection.where})"] if selection.where else ["true"]
    if selection.since is not None:
        parts.append(f"time >= make_timestamptz({_microseconds(selection.since)})")
    if selection.until is not None:
        parts.append(f"time < make_timestamptz({_microseconds(selection.until)})")
    if selection.version is not None:
        parts.append(f"version = {int(selection.version)}")
    if selection.prediction_ids:
        parts.append("prediction_id IN (SELECT prediction_id FROM wanted)")
    return " AND ".join(parts)


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def filter_batch(batch: Any, selection: Selection) -> Any:
    """Return what `condition` keeps of a batch, for a selection without SQL of its own, and its columns."""
    kept = None
    for column, passes in _filters(selection):
        mask = passes(batch.column(column))
        kept = mask if kept is None else pc.and_(kept, mask)
    found = batch if kept is None else batch.filter(kept)
    return found if selection.columns is None else found.select(list(selection.columns))


def _filters(selection: Selection) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if selection.since is not None:
        since = pa.scalar(selection.since, pa.timestamp("us", tz="UTC"))
        found.append(("time", lambda column: pc.greater_equal(column, since)))
    if selection.until is not None:
        until = pa.scalar(selection.until, pa.timestamp("us", tz="UTC"))
        found.append(("time", lambda column: pc.less(column, until)))
    if selection.version is not None:
        found.append(("version", lambda column: pc.equal(column, selection.version)))
    if selection.prediction_ids:
        wanted = pa.array(selection.prediction_ids, pa.string())
        found.append(("prediction_id", lambda column: pc.is_in(column, value_set=wanted)))
    return found


def row_groups(source: Any, selection: Selection) -> list[int]:
    """Return the row groups that may hold what is asked, by their statistics."""
    places = {name: i for i, name in enumerate(source.schema.names) if name in ("time", "prediction_id")}
    return [
        group
        for group in range(source.num_row_groups)
        if _may_hold(source.metadata.row_group(group), places, selection)
    ]


def _may_hold(group: Any, places: dict[str, int], selection: Selection) -> bool:
    time = _statistics(group, places, "time")
    if time is not None:
        if selection.since is not None and time.max < selection.since:
            return False
        if selection.until is not None and time.min >= selection.until:
            return False
    ids = _statistics(group, places, "prediction_id")
    if selection.prediction_ids and ids is not None:
        return any(ids.min <= name <= ids.max for name in selection.prediction_ids)
    return True


def _statistics(group: Any, places: dict[str, int], name: str) -> Any:
    if name not in places:
        return None
    found = group.column(places[name]).statistics
    return found if found is not None and found.has_min_max else None
