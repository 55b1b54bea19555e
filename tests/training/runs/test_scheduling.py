"""Training at set times and on new data, rung by the queue's own schedule."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler
from rest_framework.test import APIClient

from aiplatform.errors import ConflictError, InvalidInputError, NotFoundError
from training import scheduling
from training.data_marks import data_mark
from training.models import Run, TrainingSchedule
from training.scheduling import ScheduleOrder
from training.states import RunState

from ..factories import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    return path


def nightly(**fields: Any) -> TrainingSchedule:
    order: dict[str, Any] = {"name": "nightly", "like": make_run(state=RunState.SUCCEEDED, seed=4), "cron": "0 3 * * *"}
    return scheduling.create_schedule(ScheduleOrder(**{**order, **fields}))


def end_all() -> None:
    Run.objects.update(state=RunState.SUCCEEDED)


def test_a_cron_lines_time_makes_one_run_however_often_it_is_rung() -> None:
    schedule = nightly(deploy_endpoint="mnist")
    alarm = Schedule.objects.get()
    assert (alarm.schedule_type, alarm.cron, alarm.func) == ("C", "0 3 * * *", scheduling.FIRE)
    assert alarm.next_run.hour == 3
    said = scheduling.fire(schedule.pk)
    run = Run.objects.get(reason="schedule 'nightly': cron '0 3 * * *'")
    assert said == f"run {run.short_id}"
    assert (run.seed, run.deploy_endpoint, run.requested_by) == (4, "mnist", "schedule nightly")
    assert "has not ended" in scheduling.fire(schedule.pk)
    TrainingSchedule.objects.update(last_run=None)  # the note of it was lost
    assert scheduling.fire(schedule.pk) == said
    assert Run.objects.filter(reason__startswith="schedule").count() == 1


def test_the_queues_scheduler_rings_when_it_is_time(transactional_db: None) -> None:
    schedule = nightly()
    before = OrmQ.objects.count()
    scheduler()
    assert OrmQ.objects.count() == before  # it is not three o'clock
    Schedule.objects.update(next_run=timezone.now() - timedelta(seconds=1))
    scheduler()
    task = OrmQ.objects.order_by("-id")[0].task
    assert (task["func"], task["args"]) == (scheduling.FIRE, (schedule.pk,))
    assert Schedule.objects.get().next_run > timezone.now()


def test_new_data_is_trained_on_once(table: Path) -> None:
    schedule = nightly(cron="", watch_minutes=5, data_uri=str(table))
    assert scheduling.fire(schedule.pk) == "no new data"
    table.write_text("a,b\n1,2\n3,4\n")
    assert scheduling.fire(schedule.pk).startswith("run ")
    end_all()
    assert scheduling.fire(schedule.pk) == "no new data"
    os.utime(table, (1, 1))
    assert scheduling.fire(schedule.pk).startswith("run ")
    table.unlink()
    end_all()
    assert "there is no data at" in scheduling.fire(schedule.pk)
    assert "there is no data at" in scheduling.get_schedule("nightly").last_outcome


def test_a_folders_mark_follows_its_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("1")
    first = data_mark(str(tmp_path))
    assert data_mark(str(tmp_path)) == first
    (tmp_path / "in" / "b.csv").write_text("2")
    assert data_mark(str(tmp_path)) != first


def test_a_paused_schedule_does_nothing_and_a_removed_one_is_gone() -> None:
    schedule = scheduling.enable_schedule(nightly(), is_enabled=False)
    assert scheduling.fire(schedule.pk) == "nothing is scheduled"
    assert scheduling.next_fire_at(schedule) is None
    schedule = scheduling.enable_schedule(schedule, is_enabled=True)
    assert scheduling.next_fire_at(schedule) is not None
    scheduling.remove_schedule(schedule)
    assert not Schedule.objects.exists()
    with pytest.raises(NotFoundError, match="no schedule 'nightly'"):
        scheduling.get_schedule("nightly")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "No Name"}, "schedule name"),
        ({"cron": ""}, "give one of the two"),
        ({"watch_minutes": 5}, "give one of the two"),
        ({"cron": "3 o'clock"}, "not '3 o'clock'"),
        ({"cron": "61 3 * * *"}, "not '61 3"),
        ({"cron": "0 3 30 2 *"}, "'0 3 30 2 \\*' never does"),
        ({"cron": "", "watch_minutes": 20_000}, "from 1 to 10080, not 20000"),
        ({"cron": "", "watch_minutes": 5}, "always the same data"),
        ({"deploy_endpoint": "A B"}, "endpoint name"),
    ],
)
def test_a_wrong_schedule_is_refused_with_the_rule_and_the_value(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        nightly(**change)
    assert not TrainingSchedule.objects.exists()
    assert not Schedule.objects.exists()


def test_the_next_times_of_a_cron_line_are_those_of_the_queue() -> None:
    after = datetime(2026, 2, 27, 3, 0, tzinfo=UTC)
    times = scheduling.next_times("0 3 * * mon-fri", after=after)
    assert [f"{time:%a %m-%d %H:%M %Z}" for time in times] == [
        "Mon 03-02 03:00 UTC", "Tue 03-03 03:00 UTC", "Wed 03-04 03:00 UTC", "Thu 03-05 03:00 UTC",
        "Fri 03-06 03:00 UTC",
    ]  # fmt: skip
    schedule = nightly(cron="30 4 1 * *")
    assert scheduling.next_fire_at(schedule) == scheduling.next_times("30 4 1 * *")[0]


def test_a_name_is_taken_once() -> None:
    nightly()
    with pytest.raises(ConflictError, match="'nightly' already"):
        nightly()


def test_the_command_keeps_lists_fires_pauses_and_removes() -> None:
    run = make_run(state=RunState.SUCCEEDED)

    def command(*arguments: str) -> str:
        out = io.StringIO()
        call_command("train", *arguments, stdout=out)
        return out.getvalue()

    made = json.loads(command("schedule", "nightly", "--like", run.short_id, "--cron", "0 3 * * 1", "--json"))
    assert (made["cron"], made["like"]) == ("0 3 * * 1", str(run.pk))
    assert "0 3 * * 1" in command("schedules")
    assert "is queued" in command("schedule-step", "nightly", "now")
    assert "by hand" in Run.objects.exclude(pk=run.pk).get().reason
    assert "paused" in command("schedule-step", "nightly", "pause")
    assert "removed" in command("schedule-step", "nightly", "remove")
    assert not TrainingSchedule.objects.exists()


def test_the_api_keeps_shows_pauses_runs_and_removes(train_api: APIClient) -> None:
    run = make_run(state=RunState.SUCCEEDED)
    order = {"name": "nightly", "like": run.short_id, "cron": "0 3 * * *"}
    made = train_api.post("/api/training/schedules/", order, format="json")
    assert made.status_code == 201, made.json()
    assert train_api.post("/api/training/schedules/", order, format="json").status_code == 409
    url = "/api/training/schedules/nightly/"
    assert train_api.get("/api/training/schedules/").json()[0]["name"] == "nightly"
    assert train_api.patch(url, {"is_enabled": False}, format="json").json()["next_at"] is None
    queued = train_api.post(f"{url}run/").json()
    assert (queued["state"], queued["requested_by"]) == ("queued", "ann")
    assert train_api.get(url).json()["last_run"] == queued["id"]
    assert train_api.delete(url).status_code == 204
    assert train_api.get(url).status_code == 404


def test_the_page_shows_and_asks_before_each_step(staff: Client) -> None:
    schedule = nightly()
    page = reverse("admin:training_trainingschedule_change", args=[schedule.pk])
    assert "0 3 * * *" in staff.get(page).content.decode()
    assert b"nightly" in staff.get(reverse("admin:training_trainingschedule_changelist")).content
    for step in ("now", "pause", "resume", "remove"):
        url = reverse("admin:training_schedule_step", args=[schedule.pk, step])
        before = TrainingSchedule.objects.values().get()
        assert b"schedule nightly?" in staff.get(url).content
        assert TrainingSchedule.objects.values().get() == before
        assert staff.post(url).status_code == 302
    assert not TrainingSchedule.objects.exists()
    assert Run.objects.filter(reason="schedule 'nightly': by hand").count() == 1
