"""Live events of a run's page, its log, and what is drawn of its machine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.test import AsyncClient, Client
from django.urls import reverse

from aiplatform.http.closing import leaving
from training import event_stream, run_files
from training.admin.run_drawing import draw_charts, draw_head, usage_charts
from training.event_stream import feed_frames, listeners
from training.live import Event, RunFeed
from training.models import EpochMetrics, Run, RunUsage
from training.states import RunState

from ..factories import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(settings: Any, tmp_path: Path) -> Run:
    settings.TRAINING_DIR = tmp_path
    run = make_run(
        state=RunState.RUNNING, progress={"phase": "learning", "epochs": 4, "steps": 10, "epoch": 2, "step": 5}
    )
    write_log(run, "line one\nLoss is 0.5\n")
    return run


def write_log(run: Run, text: str) -> None:
    folder = run_files.run_folder(run.pk)
    folder.mkdir(exist_ok=True)
    with run_files.log_file(folder).open("a") as file:
        file.write(text)


def feed_of(run: Run, offset: int = 0) -> RunFeed:
    return RunFeed(run.pk, offset=offset, draw_head=draw_head, draw_charts=draw_charts)


def collect(feed: RunFeed, *, most: int = 20) -> list[str]:
    async def read() -> list[str]:
        frames = []
        async for frame in feed_frames(feed, look_every_s=0.01, longest_s=0.3):
            frames.append(frame.decode())
            if len(frames) == most:
                break
        return frames

    return list(async_to_sync(read)())


def test_a_feed_tells_only_what_is_new_and_ends_with_the_run(run: Run) -> None:
    feed = feed_of(run)
    assert [event.name for event in feed.look()] == ["head", "charts", "log"]
    assert feed.look() == []
    write_log(run, "more\n")
    (log,) = feed.look()
    assert (log.data["text"], log.id) == ("more\n", "26")
    EpochMetrics.objects.create(run=run, epoch=2, values={"loss": 0.5})
    (charts,) = feed.look()
    assert "<console-chart" in charts.data["html"]
    Run.objects.update(state=RunState.SUCCEEDED)
    assert [event.name for event in feed.look()] == ["head", "end"]


def test_a_listener_that_comes_again_goes_on_in_the_log(run: Run) -> None:
    logs = [event.data["text"] for event in feed_of(run, offset=9).look() if event.name == "log"]
    assert logs == ["Loss is 0.5\n"]


def test_a_long_log_comes_in_whole_lines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.live.LOG_BYTES", 12)
    feed = feed_of(run)
    assert [event.data["text"] for event in feed.look() if event.name == "log"] == ["line one\n"]
    assert [event.data["text"] for event in feed.look() if event.name == "log"] == ["Loss is 0.5\n"]


def test_the_stream_ends_with_the_run_and_counts_its_listeners(run: Run) -> None:
    Run.objects.update(state=RunState.FAILED)
    frames = collect(feed_of(run))
    assert frames[0].startswith("retry: ")
    assert [frame.split("\n")[0] for frame in frames[1:]] == ["event: head", "event: charts", "id: 21", "event: end"]
    assert json.loads(frames[1].split("data: ")[1])["state"] == "failed"
    assert listeners.count == 0


def test_the_stream_ends_when_its_time_is_up_or_the_worker_leaves(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started_s = time.monotonic()
    assert not any("event: end" in frame for frame in collect(feed_of(run)))
    assert time.monotonic() - started_s > 0.25
    monkeypatch.setattr(leaving, "has_begun", True)
    assert len(collect(feed_of(run))) == 1


def test_data_is_one_line_whatever_it_holds() -> None:
    assert event_stream.encode_event(Event(name="log", data={"text": "a\n\nb"}, id="4")) == (
        b'id: 4\nevent: log\ndata: {"text": "a\\n\\nb"}\n\n'
    )


def test_the_asynchronous_server_streams_and_refuses_beyond_the_bound(run: Run, settings: Any) -> None:
    Run.objects.update(state=RunState.SUCCEEDED)
    client = AsyncClient()
    client.force_login(get_user_model().objects.create_superuser("ann", password="secret"))
    url = reverse("admin:training_run_events", args=[run.pk])

    async def ask() -> tuple[Any, str]:
        answer: Any = await client.get(url, {"offset": "9"})
        if not answer.streaming:
            return answer, answer.content.decode()
        return answer, b"".join([part async for part in answer]).decode()

    answer, text = async_to_sync(ask)()
    assert answer["Content-Type"] == "text/event-stream"
    assert "Loss is 0.5" in text
    assert "line one" not in text
    settings.TRAINING_LISTENERS = 0
    answer, text = async_to_sync(ask)()
    assert (answer.status_code, "TRAINING_LISTENERS=0" in text) == (503, True)


def test_a_synchronous_server_says_that_it_has_no_stream(run: Run, staff: Client) -> None:
    assert staff.get(reverse("admin:training_run_events", args=[run.pk])).status_code == 204


def test_the_log_is_searched_and_downloaded(run: Run, staff: Client) -> None:
    url = reverse("admin:training_run_log", args=[run.pk])
    page = staff.get(url, {"q": "loss IS"}).content.decode()
    assert "Loss is 0.5" in page
    assert "line one" not in page
    assert "<b>" not in staff.get(url, {"q": "<b>"}).content.decode()
    answer = staff.get(reverse("admin:training_run_log_download", args=[run.pk]))
    assert b"".join(answer) == b"line one\nLoss is 0.5\n"
    assert f"run-{run.short_id}.log" in answer["Content-Disposition"]
    other = make_run()
    assert b"No log on this machine" in staff.get(reverse("admin:training_run_log", args=[other.pk])).content


def test_a_search_is_cut_and_says_so(run: Run) -> None:
    write_log(run, "loss\n" * 10)
    found = run_files.search_log(run.pk, "loss", limit=3)
    assert found is not None
    assert ([number for number, _ in found.found], found.is_cut) == ([2, 3, 4], True)


def test_what_was_measured_is_drawn_and_answered(run: Run, train_api: Any) -> None:
    assert usage_charts(run) == []
    points = [[1000.0 + i, 1.5, 2**30, None, None] for i in range(3)]
    RunUsage.objects.create(run=run, points=points, memory_peak_bytes=2**30, memory_limit_bytes=2**31)
    assert len(usage_charts(run)) == 2
    RunUsage.objects.update(points=[[1000.0, 1.5, 2**30, 0.5, 2**20]])
    assert len(usage_charts(run)) == 4
    answer = train_api.get(f"/api/training/runs/{run.pk}/usage/").json()
    assert (answer["memory_peak_bytes"], answer["points"]) == (2**30, [[1000.0, 1.5, 2**30, 0.5, 2**20]])
    assert train_api.get(f"/api/training/runs/{make_run().pk}/usage/").status_code == 404
