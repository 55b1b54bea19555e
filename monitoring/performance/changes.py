"""The clock's job that feeds closed windows to the detectors, each once, and keeps what they see.

A stream's row says up to which window it has been fed. It is moved on, with the detector's memory and the
changes it saw, in one transaction and only from where it was found: of two clocks one writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum

from monitoring.models import DetectedChange, DetectorState, ObservedWindow, ServedVersion, Window
from monitoring.performance import metrics
from monitoring.performance.detectors.stream import Stream, WindowValue
from monitoring.performance.observed import unpack_observed
from monitoring.performance.results import ChangeEvent
from monitoring.windows import minute_of

ACCURACY = "accuracy"
FEATURE = "feature:"
CLOSED_AFTER = timedelta(seconds=90)  # a minute, and time for late batches
LOOK_BACK = timedelta(hours=6)  # after a longer pause the windows before are not fed
MAX_WINDOWS = 400  # in one run; more than LOOK_BACK has minutes
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Fed:
    """One closed window's value."""

    start: datetime
    value: WindowValue


def detect_changes(*, now: datetime | None = None) -> int:
    """Feed every closed window to the detectors; return how many changes were seen."""
    now = now or datetime.now(UTC)
    active = ServedVersion.objects.filter(last_seen_at__gte=now - LOOK_BACK)
    return sum(_watch(served, now) for served in active)


def list_changes(
    endpoint: str, version: int | None = None, *, since: datetime | None = None, until: datetime | None = None
) -> list[ChangeEvent]:
    """Return what the detectors saw, newest first; `since` and `until` are of when they saw it."""
    found = DetectedChange.objects.filter(served__endpoint=endpoint).select_related("served")
    if version is not None:
        found = found.filter(served__version=version)
    if since is not None:
        found = found.filter(detected_at__gte=since)
    if until is not None:
        found = found.filter(detected_at__lte=until)
    return [
        ChangeEvent(
            endpoint=row.served.endpoint, version=row.served.version, stream=row.stream, detector=row.detector,
            at=row.at, detected_at=row.detected_at, before=row.before, after=row.after,
        )
        for row in found.order_by("-at", "stream", "detector")
    ]  # fmt: skip


def list_streams(endpoint: str, version: int | None = None) -> QuerySet[DetectorState]:
    """Return the streams that are watched."""
    found = DetectorState.objects.filter(served__endpoint=endpoint).order_by("stream")
    return found if version is None else found.filter(served__version=version)


def _watch(served: ServedVersion, now: datetime) -> int:
    states = {state.stream: state for state in DetectorState.objects.filter(served=served)}
    labels_until = now - CLOSED_AFTER - timedelta(seconds=settings.CHANGE_LABEL_DELAY_S)
    accuracy = states.get(ACCURACY)
    seen = _feed(served, ACCURACY, accuracy, _labelled_windows(served, accuracy, labels_until), now)
    features = [state for name, state in states.items() if name.startswith(FEATURE)]
    first = max(now - LOOK_BACK, min((state.seen_until for state in features), default=now - LOOK_BACK))
    values: dict[str, list[_Fed]] = {}
    for start, content in _closed_windows(served, first, now - CLOSED_AFTER):
        for name, value in unpack_observed(content).means.items():
            values.setdefault(FEATURE + name, []).append(_Fed(start, value))
    for stream, fed in sorted(values.items()):
        seen += _feed(served, stream, states.get(stream), fed, now)
    return seen


def _labelled_windows(served: ServedVersion, state: DetectorState | None, until: datetime) -> list[_Fed]:
    first = state.seen_until if state else until - LOOK_BACK
    minutes = Window.objects.filter(served=served, resolution=Window.Resolution.MINUTE)
    sums = minutes.filter(start__gt=first, start__lte=until).order_by("start").values("start")
    rows = sums.annotate(rows_known=Sum("labelled"), right=Sum("correct")).values_list("start", "rows_known", "right")
    known = [(start, labelled, right) for start, labelled, right in rows[:MAX_WINDOWS] if labelled > 0]
    return [_Fed(start, WindowValue(labelled, float(right), float(right))) for start, labelled, right in known]


def _closed_windows(
    served: ServedVersion, first: datetime, until: datetime
) -> Iterable[tuple[datetime, bytes | memoryview]]:
    """Return the first windows after a time whose minute is over."""
    closed = ObservedWindow.objects.filter(served=served, resolution=60, start__gt=first, start__lte=minute_of(until))
    return closed.order_by("start").values_list("start", "content")[:MAX_WINDOWS]


def _feed(
    served: ServedVersion, stream: str, state: DetectorState | None, windows: Sequence[_Fed], now: datetime
) -> int:
    """Give a stream its windows, if nobody else has; return how many changes it saw."""
    new = [window for window in windows if state is None or window.start > state.seen_until]
    if not new:
        return 0
    memory = Stream.from_dict(state.state if state else {}, is_share=stream == ACCURACY)
    found = []
    for window in new:
        for detector, change in memory.update(window.value).items():
            found.append(
                DetectedChange(
                    served=served,
                    stream=stream,
                    detector=detector,
                    at=window.start,
                    detected_at=now,
                    before=change.before,
                    after=change.after,
                )
            )
    with transaction.atomic():
        if not _move_on(served, stream, state, memory, new[-1].start):
            return 0
        DetectedChange.objects.bulk_create(found)
    _tell(found)
    return len(found)


def _move_on(
    served: ServedVersion, stream: str, state: DetectorState | None, memory: Stream, seen_until: datetime
) -> bool:
    """Keep what a stream remembers; False if another clock was faster."""
    kept = {"state": memory.to_dict(), "seen_until": seen_until}
    if state is None:
        _, is_new = DetectorState.objects.get_or_create(served=served, stream=stream, defaults=kept)
        return is_new
    return bool(DetectorState.objects.filter(pk=state.pk, seen_until=state.seen_until).update(**kept))


def _tell(changes: Iterable[DetectedChange]) -> None:
    for change in changes:
        names = (change.served.endpoint, str(change.served.version))
        metrics.CHANGES.labels(*names, change.stream, change.detector).inc()
        log.info(
            "change_detected", endpoint=names[0], version=change.served.version, stream=change.stream,
            detector=change.detector, before=change.before, after=change.after,
        )  # fmt: skip
