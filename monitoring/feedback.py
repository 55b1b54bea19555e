"""Joins predictions with their truth, and keeps the windows' counts of labels right.

What a feedback adds to its prediction's window is computed from the two rows, so a changed label
is corrected by the difference. Feedback that comes before its prediction waits, and is joined by
the ingestion, or by the clock should the two have passed each other. Locks are always taken
feedback first, then windows.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from django.db import transaction
from django.db.models import F

from aiplatform.contracts.monitoring import FeedbackItem, FeedbackReceipt
from aiplatform.errors import InvalidInputError
from monitoring import metrics
from monitoring.batches import MAX_TEXT
from monitoring.models import Feedback, Prediction, Window

CHUNK = 400  # ids in one query; databases bound the number of parameters
Key = tuple[str, int]  # prediction id, row
T = TypeVar("T")


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


def contribution_of(feedback: Feedback, prediction: Prediction) -> Contribution:
    """Return what a feedback says of a prediction; nothing if one is a label and the other a number."""
    if feedback.label is not None and prediction.label is not None:
        return Contribution(labelled=1, correct=int(feedback.label == prediction.label))
    if feedback.value is not None and prediction.value is not None:
        error = feedback.value - prediction.value
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


def join_pending_feedback(*, prediction_ids: Iterable[str] | None = None) -> int:
    """Join feedback that came before its prediction; all of it if no ids are given. Return how many."""
    waiting = Feedback.objects.filter(is_pending=True)
    if not waiting.exists():
        return 0
    if prediction_ids is None:
        known = Prediction.objects.filter(prediction_id__in=waiting.values("prediction_key"))
        prediction_ids = known.values_list("prediction_id", flat=True).distinct()
    joined = 0
    for ids in chunks(sorted(set(prediction_ids))):
        with transaction.atomic():
            rows = waiting.filter(prediction_key__in=ids).order_by("prediction_key", "row").select_for_update()
            joined += _join(list(rows))
    return joined


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
    ids = {row.prediction_key for row in pending}
    found = {(p.prediction_id, p.row): p for p in Prediction.objects.filter(prediction_id__in=ids)}
    added: dict[int, Contribution] = defaultdict(Contribution)
    joined = []
    for row in pending:
        prediction = found.get((row.prediction_key, row.row))
        if prediction is not None:
            row.prediction, row.is_pending = prediction, False
            added[prediction.window_id] = added[prediction.window_id].plus(contribution_of(row, prediction))
            joined.append(row)
    Feedback.objects.bulk_update(joined, ["prediction", "is_pending"])
    _add_to_windows(added)
    return len(joined)


def _correct(changes: list[tuple[Feedback, FeedbackItem]], now: datetime) -> int:
    """Replace the truth of rows; return how many of them count in a window, the rest still waits."""
    added: dict[int, Contribution] = defaultdict(Contribution)
    predictions = Prediction.objects.in_bulk([row.prediction_id for row, _ in changes if row.prediction_id])
    for row, item in changes:
        prediction = predictions.get(row.prediction_id) if row.prediction_id else None
        before = contribution_of(row, prediction) if prediction else Contribution()
        row.label, row.value, row.source, row.received_at = item.label, item.value, item.source[:100], now
        if prediction:
            difference = contribution_of(row, prediction).plus(before, sign=-1)
            added[prediction.window_id] = added[prediction.window_id].plus(difference)
    Feedback.objects.bulk_update([row for row, _ in changes], ["label", "value", "source", "received_at"])
    _add_to_windows(added)
    return len(predictions)


def _add_to_windows(added: dict[int, Contribution]) -> None:
    for window_id in sorted(added):
        changes = {name: F(name) + amount for name, amount in asdict(added[window_id]).items() if amount}
        if changes:
            Window.objects.filter(pk=window_id).update(**changes)


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Give the items in lists short enough for one query."""
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
