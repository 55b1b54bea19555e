"""Forgets predictions, by id or by the subject they are about: index, feedback and files.

The order is written first and is in force at once: readers leave out what has a tombstone. Then the rows
are removed. A later pass looks again, for rows that were on their way meanwhile; compaction applies
tombstones to whatever comes after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import transaction

from aiplatform.errors import ArtifactCorruptError, InvalidConfigurationError, InvalidInputError, PlatformError
from aiplatform.predictions.files import StoredFile, list_endpoints
from aiplatform.predictions.pseudonyms import all_pseudonyms
from monitoring.blocks import pack_block, unpack_block
from monitoring.models import DeletedPrediction, Feedback, PredictionBlock, PredictionDeletion
from monitoring.predictions import chunks, find_rows
from monitoring.store.erasing import erase_from_file, ids_of_subject
from monitoring.store.lease import Lease, store_lease
from monitoring.store.locations import list_period, root
from monitoring.store.tombstones import time_of

MAX_IDS = 10_000
log = structlog.get_logger(__name__)
State = PredictionDeletion.State
T = TypeVar("T")


def delete_predictions(
    *, prediction_ids: Sequence[str] = (), subject: str = "", by: str, reason: str = "", now: datetime | None = None
) -> PredictionDeletion:
    """Order that predictions be forgotten, and remove what is here now; the rest follows by itself.

    Raises: InvalidInputError unless either ids or a subject is given; InvalidConfigurationError if there
    are no PREDICTION_HASH_SECRETS, and so no subjects are known.
    """
    _check(prediction_ids, subject)
    now = now or datetime.now(UTC)
    pseudonyms = all_pseudonyms(subject, settings.PREDICTION_HASH_SECRETS) if subject else []
    with transaction.atomic():
        order = PredictionDeletion.objects.create(
            pseudonyms=pseudonyms, requested_by=by[:150], reason=reason[:500], requested_at=now
        )
        _bury(order, prediction_ids)
    log.info(
        "predictions_deletion_ordered", deletion=order.pk, by=by, ids=len(prediction_ids), by_subject=bool(subject)
    )
    _forget_index(order)
    with store_lease() as lease:
        if lease is not None:
            _try_to_carry_out(order, lease, now)
    return order


def carry_out_deletions(lease: Lease, *, now: datetime) -> int:
    """Carry out what is ordered and not done; return how many orders are done now."""
    done = 0
    for order in PredictionDeletion.objects.exclude(state=State.DONE).order_by("pk"):
        is_due = order.state == State.PENDING or now - order.requested_at >= _settling_time()
        if is_due and lease.renew():
            _try_to_carry_out(order, lease, now)
            done += order.state == State.DONE
    return done


def _check(prediction_ids: Sequence[str], subject: str) -> None:
    if bool(prediction_ids) == bool(subject):
        raise InvalidInputError("give either prediction ids or a subject to delete")
    if len(prediction_ids) > MAX_IDS or any(not 1 <= len(name) <= 64 for name in prediction_ids):
        raise InvalidInputError(f"give up to {MAX_IDS} prediction ids of 1 to 64 characters")
    if subject and not any(settings.PREDICTION_HASH_SECRETS):
        raise InvalidConfigurationError("no subject is known: PREDICTION_HASH_SECRETS is not set")


def _try_to_carry_out(order: PredictionDeletion, lease: Lease, now: datetime) -> None:
    try:
        problems = _carry_out(order, lease)
        is_settled = now - order.requested_at >= _settling_time()
        order.state, order.error = State.DONE if is_settled else State.REMOVED, "\n".join(problems)
        order.finished_at = now
    except PlatformError as error:  # the store is away: the clock comes again
        order.error = error.message
        log.warning("predictions_deletion_waits", deletion=order.pk, error=error.message)
    order.save()


def _carry_out(order: PredictionDeletion, lease: Lease) -> list[str]:
    problems: list[str] = []
    files = list(_files_of(order))
    if order.pseudonyms:
        for file in files:
            _bury(order, _collect(problems, ids_of_subject, file, order))
        _forget_index(order)
    for file in files:
        lease.renew()
        gone = order.tombstones.filter(prediction_id__gte=f"{max(0, file.first_ms - 1):012x}").order_by()
        near = set(gone.filter(prediction_id__lt=f"{file.last_ms + 2:012x}").values_list("prediction_id", flat=True))
        if near:
            order.stored_rows += sum(_collect(problems, erase_from_file, file, near))
    return problems


def _collect(problems: list[str], work: Callable[..., list[T]], *arguments: Any) -> list[T]:
    """Return what `work` finds in a file; a damaged one is noted, as nobody can say what it holds."""
    try:
        return work(*arguments)
    except ArtifactCorruptError as error:
        problems.append(error.message)
        return []


def _files_of(order: PredictionDeletion) -> Iterable[StoredFile]:
    """Give the files that may hold what is to be forgotten."""
    for endpoint in list_endpoints(root()):
        if order.pseudonyms:
            yield from list_period(endpoint, until=order.requested_at)
            continue
        yield from _files_near(endpoint, order)


def _files_near(endpoint: str, order: PredictionDeletion) -> Iterable[StoredFile]:
    times = sorted(time for name in order.tombstones.values_list("prediction_id", flat=True) if (time := time_of(name)))
    if not times:
        return
    milliseconds = [int(time.timestamp() * 1000) for time in times]
    for file in list_period(endpoint, since=times[0] - timedelta(seconds=1), until=times[-1] + timedelta(seconds=1)):
        if any(file.first_ms - 1 <= at <= file.last_ms + 1 for at in milliseconds):
            yield file


def _bury(order: PredictionDeletion, prediction_ids: Iterable[str]) -> None:
    names = sorted(set(prediction_ids))
    for some in chunks(names):
        DeletedPrediction.objects.bulk_create(
            [DeletedPrediction(prediction_id=name, deletion=order) for name in some], ignore_conflicts=True
        )
    if names:
        order.predictions = order.tombstones.count()
        order.save(update_fields=["predictions"])


def _forget_index(order: PredictionDeletion) -> None:
    """Remove predictions from their blocks, and what was said of them."""
    names = list(order.tombstones.values_list("prediction_id", flat=True))
    for some in chunks(names):
        with transaction.atomic():
            order.feedback_rows += Feedback.objects.filter(prediction_key__in=some).delete()[0]
            order.index_rows += _remove_from_blocks(some)
    order.save(update_fields=["feedback_rows", "index_rows"])


def _remove_from_blocks(names: list[str]) -> int:
    keys = {row.block.pk for row in find_rows(names).values()}
    removed = 0
    for block in PredictionBlock.objects.filter(pk__in=keys).order_by("pk").select_for_update():
        left = unpack_block(block.content).without(set(names))
        removed += block.rows - (0 if left is None else len(left.keys))
        if left is None:
            block.delete()
            continue
        block.first_id, block.last_id, block.rows, block.time = left.first_id, left.last_id, len(left.keys), left.latest
        block.content = pack_block(left)
        block.save()
    return removed


def _settling_time() -> timedelta:
    """Return after how long what was on its way when the order came has arrived, if nothing is away."""
    return timedelta(seconds=2 * settings.STORE_INTERVAL_S + 60)
