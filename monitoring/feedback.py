"""Joins predictions with their truth, and keeps the windows' counts of labels right.

A feedback that has joined keeps what the prediction said, so a changed label is corrected by the
difference. Feedback that comes before its prediction waits, and is joined by the ingestion, or by
the clock should the two have passed each other. Locks are always taken feedback first, then windows.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import F

from aiplatform.contracts.monitoring import FeedbackItem, FeedbackReceipt
from aiplatform.errors import InvalidInputError
from monitoring import metrics
from monitoring.batches import MAX_TEXT
from monitoring.blocks import BlockContent
from monitoring.models import Feedback, PredictionBlock, Window
from monitoring.performance.recording import PerformanceChanges
from monitoring.predictions import Key, chunks, find_rows
from monitoring.windows import lock_open_window, minute_of

MAX_ERROR = 1e100  # a window's sum of squares must stay a number; exact sums are in PerformanceWindow
Minute = tuple[int, datetime]  # served version, start
MAX_WAITING = 5000  # the latest waiting ids that the clock looks for each time


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What one feedback adds to its window. Field names are the window's columns."""

    labelled: int = 0
    correct: int = 0
    valued: int = 0
    absolute_error_sum: float = 0.0
    squared_error_sum: float = 0.0

    def plus(self, other: Contribution, *, sign: int = 1) -> Contribution:
        """Return the sum (or, with sign -1, the difference)."""
        return Contribution(**{f.name: getattr(self, f.name) + sign * getattr(other, f.name) for f in fields(self)})


def contribution_of(feedback: Feedback) -> Contribution:
    """Return what a feedback says of its prediction; nothing if one is a label and the other a number."""
    if feedback.label is not None and feedback.predicted_label is not None:
        return Contribution(labelled=1, correct=int(feedback.label == feedback.predicted_label))
    if feedback.value is not None and feedback.predicted_value is not None:
        error = max(-MAX_ERROR, min(MAX_ERROR, feedback.value - feedback.predicted_value))
        return Contribution(valued=1, absolute_error_sum=abs(error), squared_error_sum=error * error)
    return Contribution()


def record_feedback(*, items: Sequence[FeedbackItem], now: datetime | None = None) -> FeedbackReceipt:
    """Keep the truth of earlier predictions. Of several items for one row the last counts.

    Raises: InvalidInputError unless each item has an id and exactly one of label and value.
    """
    wanted: dict[Key, FeedbackItem] = {}
    for item in items:
        check_feedback(item)
        wanted[(item.prediction_id, item.row)] = item
    totals = {"joined": 0, "repeated": len(items) - len(wanted), "pending": 0}
    for keys in chunks(sorted(wanted)):
        with transaction.atomic():
            for outcome, count in _record_chunk([wanted[key] for key in keys], now or datetime.now(UTC)).items():
                totals[outcome] += count
    for outcome, count in totals.items():
        metrics.FEEDBACK_ITEMS.labels(outcome).inc(count)
    return FeedbackReceipt(**totals)


def check_feedback(item: FeedbackItem) -> None:
    """Raise InvalidInputError unless the item can be kept."""
    if not 1 <= len(item.prediction_id) <= 64:
        raise InvalidInputError(f"a prediction id has 1 to 64 characters, not {len(item.prediction_id)}")
    if (item.label is None) == (item.value is None):
        raise InvalidInputError(f"feedback for '{item.prediction_id}' must have either a label or a value")
    if item.label is not None and not 1 <= len(item.label) <= MAX_TEXT:
        raise InvalidInputError(f"a label has 1 to {MAX_TEXT} characters, not {len(item.label)}")
    if item.value is not None and not abs(item.value) < float("inf"):
        raise InvalidInputError(f"a value must be a finite number, not {item.value}")
    if not 0 <= item.row < 2**31:
        raise InvalidInputError(f"row must be 0 or more, not {item.row}")


def join_pending_feedback(*, blocks: Sequence[BlockContent] | None = None) -> int:
    """Join feedback that came before its prediction: that of some blocks, or the latest. Return how many."""
    waiting = Feedback.objects.filter(is_pending=True)
    if not waiting.exists():
        return 0
    if blocks is None:
        latest = waiting.order_by("-received_at").values_list("prediction_key", flat=True)[:MAX_WAITING]
        wanted = {key for key, _ in find_rows(set(latest))}
    else:
        wanted = {name for block in blocks for name in _waiting_in(block)}
    joined = 0
    for ids in chunks(sorted(wanted)):
        with transaction.atomic():
            rows = waiting.filter(prediction_key__in=ids).order_by("prediction_key", "row").select_for_update()
            joined += _join(list(rows))
    return joined


def _waiting_in(block: BlockContent) -> set[str]:
    """Return the ids of a block for which feedback waits."""
    waiting = Feedback.objects.filter(is_pending=True).order_by()
    if block.names:
        found = [waiting.filter(prediction_key__in=ids) for ids in chunks(sorted(set(block.names)))]
        return {key for some in found for key in some.values_list("prediction_key", flat=True)}
    near = waiting.filter(prediction_key__gte=block.first_id, prediction_key__lte=block.last_id)
    return {key for key in near.values_list("prediction_key", flat=True) if block.holds(key)}


def _record_chunk(items: list[FeedbackItem], now: datetime) -> dict[str, int]:
    claim = uuid.uuid4().hex
    Feedback.objects.bulk_create([_new_row(item, claim, now) for item in items], ignore_conflicts=True)
    ids = {item.prediction_id for item in items}
    rows = Feedback.objects.filter(prediction_key__in=ids).order_by("prediction_key", "row").select_for_update()
    by_key = {(row.prediction_key, row.row): row for row in rows}
    mine = {(item.prediction_id, item.row): item for item in items}
    new = [by_key[key] for key in mine if by_key[key].claim == claim]
    old = [(by_key[key], item) for key, item in mine.items() if by_key[key].claim != claim]
    changed = _correct([(row, item) for row, item in old if (row.label, row.value) != (item.label, item.value)], now)
    joined = _join(new)
    return {"joined": joined + changed, "repeated": len(old) - changed, "pending": len(new) - joined}


def _new_row(item: FeedbackItem, claim: str, now: datetime) -> Feedback:
    return Feedback(
        prediction_key=item.prediction_id, row=item.row, label=item.label, value=item.value,
        source=item.source[:100], claim=claim, received_at=now,
    )  # fmt: skip


def _join(pending: list[Feedback]) -> int:
    """Join those whose prediction is here; return how many."""
    found = find_rows({row.prediction_key for row in pending})
    added: dict[Minute, Contribution] = defaultdict(Contribution)
    performance = PerformanceChanges()
    joined = []
    for row in pending:
        here = found.get((row.prediction_key, row.row))
        if here is not None:
            row.block, row.is_pending = here.block, False
            row.predicted_label, row.predicted_value = here.content.label, here.content.value
            minute = here.block.window.served_id, minute_of(here.block.time)
            added[minute] = added[minute].plus(contribution_of(row))
            performance.add(here, label=row.label, value=row.value)
            joined.append(row)
    Feedback.objects.bulk_update(joined, ["block", "is_pending", "predicted_label", "predicted_value"])
    _add_to_windows(added)
    performance.write()
    return len(joined)


def _correct(changes: list[tuple[Feedback, FeedbackItem]], now: datetime) -> int:
    """Replace the truth of rows; return how many of them count in a window, the rest still waits."""
    added: dict[Minute, Contribution] = defaultdict(Contribution)
    blocks = PredictionBlock.objects.filter(pk__in={row.block_id for row, _ in changes if row.block_id})
    minutes = {pk: (served, minute_of(time)) for pk, served, time in blocks.values_list("pk", "window__served", "time")}
    found = find_rows({row.prediction_key for row, _ in changes if row.block_id})
    performance = PerformanceChanges()
    counted = 0
    for row, item in changes:
        before, here = contribution_of(row), found.get((row.prediction_key, row.row))
        if here is not None:
            performance.add(here, label=row.label, value=row.value, sign=-1)
            performance.add(here, label=item.label, value=item.value)
        row.label, row.value, row.source, row.received_at = item.label, item.value, item.source[:100], now
        minute = minutes.get(row.block_id) if row.block_id else None
        if minute is not None:
            added[minute] = added[minute].plus(contribution_of(row).plus(before, sign=-1))
            counted += 1
    Feedback.objects.bulk_update([row for row, _ in changes], ["label", "value", "source", "received_at"])
    _add_to_windows(added)
    performance.write()
    return counted


def _add_to_windows(added: dict[Minute, Contribution]) -> None:
    """Add to each minute's open window; one that was rolled up gets another, which is rolled up in its turn."""
    for served, start in sorted(added):
        changes = {name: F(name) + amount for name, amount in asdict(added[(served, start)]).items() if amount}
        minute = Window.objects.filter(
            served=served, start=start, resolution=Window.Resolution.MINUTE, is_rolled_up=False
        )
        if changes and not minute.update(**changes):
            lock_open_window(served, start)
            minute.update(**changes)
