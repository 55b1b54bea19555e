"""`manage.py train schedule ...`: its arguments, and schedules as tables and records."""

from __future__ import annotations

from typing import Any, TextIO

from training.cli.tables import write_table
from training.models import TrainingSchedule
from training.scheduling import next_fire_at

STEPS = ("pause", "resume", "remove", "now")


def add_schedule_subcommands(commands: Any) -> None:
    """Declare `schedule`, `schedules` and what is done with one."""
    schedule = commands.add_parser("schedule", help="train again as a run did, at set times or on new data")
    schedule.add_argument("name", help="the schedule's name")
    schedule.add_argument("--like", required=True, metavar="RUN", help="the run that is repeated")
    when = schedule.add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", default="", help="minute hour day month weekday, in UTC: '0 3 * * *'")
    when.add_argument("--on-new-data", type=int, default=0, metavar="MINUTES", help="look for new data so often")
    schedule.add_argument("--data", default="", help="other data than the run's")
    schedule.add_argument("--deploy", default="", metavar="ENDPOINT", help="deploy there on success")
    commands.add_parser("schedules", help="list schedules")
    step = commands.add_parser("schedule-step", help="pause, resume or remove a schedule, or train by it now")
    step.add_argument("name")
    step.add_argument("step", choices=STEPS)


def write_schedules(out: TextIO, schedules: list[TrainingSchedule]) -> None:
    """Write schedules as a table."""
    titles = ("SCHEDULE", "WHEN", "LIKE", "DATA", "NEXT", "LAST RUN", "OUTCOME")
    write_table(out, titles, [_row(schedule) for schedule in schedules])


def schedule_record(schedule: TrainingSchedule) -> dict[str, Any]:
    """Return a schedule for `--json` and the REST API."""
    return {
        "name": schedule.name,
        "like": str(schedule.like_id),
        "recipe": schedule.like.recipe,
        "model_name": schedule.like.model_name,
        "data_uri": schedule.data_uri,
        "deploy_endpoint": schedule.deploy_endpoint,
        "cron": schedule.cron,
        "watch_minutes": schedule.watch_minutes,
        "is_enabled": schedule.is_enabled,
        "next_at": next_fire_at(schedule),
        "last_run": str(schedule.last_run_id) if schedule.last_run_id else None,
        "last_fired_at": schedule.last_fired_at,
        "last_outcome": schedule.last_outcome,
        "created_by": schedule.created_by,
        "created_at": schedule.created_at,
    }


def when_text(schedule: TrainingSchedule) -> str:
    """Return when a schedule trains, in words."""
    return schedule.cron or f"on new data, every {schedule.watch_minutes} min"


def _row(schedule: TrainingSchedule) -> tuple[object, ...]:
    upcoming = next_fire_at(schedule)
    return (
        schedule.name, when_text(schedule), schedule.like.short_id, schedule.data_uri,
        f"{upcoming:%Y-%m-%d %H:%M} UTC" if upcoming else "paused",
        schedule.last_run.short_id if schedule.last_run else "-", schedule.last_outcome or "-",
    )  # fmt: skip
