"""Training on a schedule: at the times of a cron line, or when there is new data.

The queue (django-q2) keeps the times and calls `fire`. What it calls may come twice or late: a run's order has a key
made of schedule and minute, or of schedule and data, so the same occasion is one run; and a schedule whose last run has
not ended waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from django.db import transaction
from django.utils import timezone
from django_q.models import Schedule

from aiplatform.errors import ConflictError, InvalidInputError, NotFoundError, PlatformError
from training.data_marks import check_watchable, data_mark
from training.models import Run, TrainingSchedule
from training.names import check_name, check_public_name
from training.resources.asking import resources_of
from training.services import RunOrder, check_order, create_run

log = structlog.get_logger(__name__)

FIRE = "training.scheduling.fire"
LONGEST_WATCH_MINUTES = 7 * 24 * 60


@dataclass(frozen=True, kw_only=True)
class ScheduleOrder:
    """When to train what again: a cron line, or how often to look for new data (minutes); one of them."""

    name: str
    like: Run
    cron: str = ""
    watch_minutes: int = 0
    data_uri: str = ""
    deploy_endpoint: str = ""
    actor: str = ""


def create_schedule(order: ScheduleOrder) -> TrainingSchedule:
    """Keep a schedule. Data that is watched is trained on when it differs from what is there now.

    Raises: InvalidInputError (or a class of it) naming the rule and the value; ConflictError if the name is taken.
    """
    check_name("schedule", order.name)
    data_uri = order.data_uri or order.like.data_uri
    _check_times(order, data_uri)
    if order.deploy_endpoint:
        check_public_name("endpoint", order.deploy_endpoint)
    schedule = TrainingSchedule(
        name=order.name, like=order.like, data_uri=data_uri, deploy_endpoint=order.deploy_endpoint, cron=order.cron,
        watch_minutes=order.watch_minutes, created_by=order.actor,
        data_mark=data_mark(data_uri) if order.watch_minutes else "",
    )  # fmt: skip
    check_order(_run_order(schedule, key=""))
    with transaction.atomic():
        if TrainingSchedule.objects.filter(name=order.name).exists():
            raise ConflictError(f"there is a schedule '{order.name}' already")
        schedule.save()
        _set_alarm(schedule)
    log.info("schedule_created", schedule=schedule.name, cron=schedule.cron, actor=order.actor)
    return schedule


def get_schedule(name: str) -> TrainingSchedule:
    """Return a schedule.

    Raises: NotFoundError if there is none of that name.
    """
    found = TrainingSchedule.objects.select_related("like", "last_run").filter(name=name).first()
    if found is None:
        raise NotFoundError(f"there is no schedule '{name}'")
    return found


def list_schedules() -> list[TrainingSchedule]:
    """Return all schedules by name."""
    return list(TrainingSchedule.objects.select_related("like", "last_run"))


def next_fire_at(schedule: TrainingSchedule) -> datetime | None:
    """Return when the queue fires next; None if the schedule is paused."""
    alarm = Schedule.objects.filter(name=_alarm_name(schedule)).first()
    return alarm.next_run if alarm is not None else None


def enable_schedule(schedule: TrainingSchedule, *, is_enabled: bool, actor: str = "") -> TrainingSchedule:
    """Pause a schedule, or go on with it."""
    with transaction.atomic():
        TrainingSchedule.objects.filter(pk=schedule.pk).update(is_enabled=is_enabled)
        schedule.refresh_from_db()
        _clear_alarm(schedule)
        if is_enabled:
            _set_alarm(schedule)
    log.info("schedule_enabled" if is_enabled else "schedule_paused", schedule=schedule.name, actor=actor)
    return schedule


def remove_schedule(schedule: TrainingSchedule, *, actor: str = "") -> None:
    """Forget a schedule; its runs stay."""
    with transaction.atomic():
        _clear_alarm(schedule)
        schedule.delete()
    log.info("schedule_removed", schedule=schedule.name, actor=actor)


def fire(schedule_id: int) -> str:
    """Do what is due, and say what was done: the queue calls this."""
    schedule = TrainingSchedule.objects.select_related("like", "last_run").filter(pk=schedule_id).first()
    if schedule is None or not schedule.is_enabled:
        return "nothing is scheduled"
    try:
        return _fire(schedule)
    except PlatformError as error:
        _note(schedule, error.message)
        return error.message


def run_now(schedule: TrainingSchedule, *, actor: str = "") -> Run:
    """Train now, whether or not it is time or the data is new.

    Raises: PlatformError as `create_run`; ConflictError if the last run has not ended.
    """
    if _is_busy(schedule):
        raise ConflictError(f"the last run of schedule '{schedule.name}' has not ended")
    mark = data_mark(schedule.data_uri) if schedule.watch_minutes else ""
    return _train(schedule, key=f"schedule:{schedule.pk}:{timezone.now().isoformat()}", mark=mark, actor=actor)


def _fire(schedule: TrainingSchedule) -> str:
    if _is_busy(schedule):
        return _note(schedule, "the last run has not ended; this occasion is left out")
    if not schedule.watch_minutes:
        minute = timezone.now().astimezone(UTC).strftime("%Y%m%d%H%M")
        run = _train(schedule, key=f"schedule:{schedule.pk}:{minute}")
        return f"run {run.short_id}"
    mark = data_mark(schedule.data_uri)
    if mark == schedule.data_mark:
        return _note(schedule, "no new data")
    run = _train(schedule, key=f"schedule:{schedule.pk}:{mark}", mark=mark)
    return f"run {run.short_id}"


def _train(schedule: TrainingSchedule, *, key: str, mark: str = "", actor: str = "") -> Run:
    run = create_run(_run_order(schedule, key=key, actor=actor))
    TrainingSchedule.objects.filter(pk=schedule.pk).update(
        last_run=run, last_fired_at=timezone.now(), last_outcome=f"run {run.short_id}", data_mark=mark
    )
    return run


def _run_order(schedule: TrainingSchedule, *, key: str, actor: str = "") -> RunOrder:
    like = schedule.like
    why = "new data" if schedule.watch_minutes else f"cron '{schedule.cron}'"
    return RunOrder(
        recipe=like.recipe,
        data_uri=schedule.data_uri,
        model_name=like.model_name,
        target=like.target,
        parameters=like.parameters,
        seed=like.seed,
        deploy_endpoint=schedule.deploy_endpoint,
        actor=actor or f"schedule {schedule.name}",
        reason=f"schedule '{schedule.name}': {'by hand' if actor else why}",
        idempotency_key=key,
        resources=resources_of(like),
    )


def _is_busy(schedule: TrainingSchedule) -> bool:
    return schedule.last_run is not None and not schedule.last_run.is_ended


def _note(schedule: TrainingSchedule, outcome: str) -> str:
    TrainingSchedule.objects.filter(pk=schedule.pk).update(last_fired_at=timezone.now(), last_outcome=outcome[:1000])
    return outcome


def check_cron(cron: str) -> str:
    """Return a cron line.

    Raises: InvalidInputError if it is none, or names a day that never comes.
    """
    next_times(cron, count=1)
    return cron


def next_times(cron: str, *, count: int = 5, after: datetime | None = None) -> list[datetime]:
    """Return when a cron line comes next, in UTC as the queue counts.

    Raises: InvalidInputError if it is none, or names a day that never comes.
    """
    from croniter import CroniterBadDateError, croniter

    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise InvalidInputError(f"cron must be minute, hour, day, month, weekday, as in '0 3 * * *', not '{cron}'")
    line = croniter(cron, (after or timezone.now()).astimezone(UTC))
    try:
        return [line.get_next(datetime) for _ in range(count)]
    except CroniterBadDateError as error:
        raise InvalidInputError(f"cron must name a time that comes; '{cron}' never does") from error


def check_watch(minutes: int, data_uri: str) -> None:
    """Raise InvalidInputError unless the data can be looked at so often (minutes) for what is new."""
    if not 1 <= minutes <= LONGEST_WATCH_MINUTES:
        raise InvalidInputError(f"minutes must be from 1 to {LONGEST_WATCH_MINUTES}, not {minutes}")
    check_watchable(data_uri)


def _check_times(order: ScheduleOrder, data_uri: str) -> None:
    if bool(order.cron) == bool(order.watch_minutes):
        raise InvalidInputError("a schedule has a cron line or watches its data: give one of the two")
    if order.cron:
        check_cron(order.cron)
    else:
        check_watch(order.watch_minutes, data_uri)


def _alarm_name(schedule: TrainingSchedule) -> str:
    return f"training schedule {schedule.pk}"


def _set_alarm(schedule: TrainingSchedule) -> None:
    alarm = Schedule(name=_alarm_name(schedule), func=FIRE, args=f"({schedule.pk},)", repeats=-1)
    if schedule.cron:
        alarm.schedule_type, alarm.cron = Schedule.CRON, schedule.cron
        alarm.next_run = alarm.calculate_next_run(timezone.now())
    else:
        alarm.schedule_type, alarm.minutes = Schedule.MINUTES, schedule.watch_minutes
        alarm.next_run = timezone.now()
    alarm.save()


def _clear_alarm(schedule: TrainingSchedule) -> None:
    Schedule.objects.filter(name=_alarm_name(schedule)).delete()
