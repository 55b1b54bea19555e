"""A person orders in the console: a training, its repetition on a schedule that the real queue keeps, a search."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.pages import keep, pick
from tests.e2e.topology import Platform, wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("e2e"),
]

RECIPE = "tests.training.numpy_recipe:Shares"
PATIENCE_S = 240  # of a minute's cron line and a training in a process of its own, on a busy machine


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a source that no framework is needed for."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    write_images(path, seed=0)
    return path


def write_images(path: Path, *, seed: int) -> None:
    random = np.random.default_rng(seed)
    np.savez(path, images=random.integers(0, 255, (120, 4, 4), dtype=np.uint8), labels=np.arange(120) % 3)


def choose_own_recipe(page: Any) -> None:
    page.get_by_label("Your own recipe").fill(RECIPE)
    page.get_by_role("button", name="Take it").click()


def fill(page: Any, **values: str) -> None:
    for name, text in values.items():
        page.locator(f"[name={name}]").fill(text)


def submit(page: Any) -> None:
    page.locator("form[method=post] button[type=submit].console-button-main").click()


def ended_runs(platform: Platform, **wanted: str) -> list[dict[str, Any]]:
    """Return the runs that have succeeded and have these values, newest first; fail if one has failed."""
    runs = [run for run in platform.get_json("/api/training/runs/?page_size=100")["results"] if has(run, wanted)]
    failed = [run["exit_message"] for run in runs if run["state"] == "failed"]
    assert not failed, failed
    return [run for run in runs if run["state"] == "succeeded"]


def has(run: dict[str, Any], wanted: dict[str, str]) -> bool:
    return all(wanted[name] in str(run[name]) for name in wanted)


@pytest.fixture(scope="module")
def trained(page: Any, platform: Platform, images: Path) -> str:
    """Give the page of a run that was ordered by the form, and has succeeded."""
    page.goto("/admin/training/run/")
    page.get_by_text("No run yet").wait_for()
    page.get_by_role("link", name="Add one").click()
    keep(page, "new-training-recipe")
    choose_own_recipe(page)
    fill(page, data_uri=str(images), model_name="Not a name", set_epochs="2")
    submit(page)
    page.get_by_text("1 field needs another look").wait_for()
    page.get_by_text("not 'Not a name'").wait_for()
    fill(page, model_name="shares")
    keep(page, "new-training")
    submit(page)
    page.get_by_text("What was ordered").wait_for()
    wait_until(lambda: ended_runs(platform, model_name="shares"), within_s=PATIENCE_S, what="the training has ended")
    page.reload()
    return str(page.url)


@pytest.fixture(scope="module")
def each_minute(page: Any, trained: str) -> str:
    """Give the page of a schedule with a cron line, which was made from the run's page by the form."""
    page.goto(trained)
    page.get_by_role("link", name="Repeat on a schedule").click()
    assert page.locator("[data-when=data]").is_hidden()
    fill(page, name="each-minute", cron="15 6 * * mon")
    page.wait_for_function("document.querySelectorAll('#schedule-times li').length === 5")
    page.get_by_text(re.compile(r"^Mon .* 06:15 UTC$")).first.wait_for()
    fill(page, cron="at three")
    page.get_by_text("not 'at three'").wait_for()
    keep(page, "new-schedule")
    fill(page, cron="* * * * *")
    submit(page)
    page.get_by_text("Schedule 'each-minute' is in force.").wait_for()
    keep(page, "schedule")
    return str(page.url)


@pytest.fixture(scope="module")
def on_arrival(page: Any, each_minute: str) -> str:
    """Give the address in the API of a schedule that looks for new data."""
    page.goto("/admin/training/trainingschedule/add/")
    fill(page, name="on-arrival")
    page.get_by_label("when there is new data").check()
    assert page.locator("[data-when=cron]").is_hidden()
    fill(page, watch_minutes="1")
    submit(page)
    page.get_by_text("Schedule 'on-arrival' is in force.").wait_for()
    return "/api/training/schedules/on-arrival/"


@pytest.mark.usefixtures("each_minute", "on_arrival")  # both wait for the next minute meanwhile
def test_a_search_of_the_form_comes_to_its_end(page: Any, platform: Platform, images: Path) -> None:
    page.goto("/admin/training/search/add/")
    choose_own_recipe(page)
    fill(page, data_uri=str(images), model_name="sought", trials="2", set_epochs="2", over_learning_rate="1..0.1")
    submit(page)
    page.get_by_text("must grow, not 1..0.1").wait_for()
    keep(page, "new-search")
    fill(page, over_learning_rate="0.01..0.1", metric="loss")
    submit(page)
    page.get_by_text("has begun").wait_for()
    api = "/api/training/searches/"
    wait_until(
        lambda: platform.get_json(api)["results"][0]["state"] != "running",
        within_s=PATIENCE_S,
        what="the search has ended",
    )
    page.reload()
    page.get_by_role("link", name="Register the winner").wait_for()
    keep(page, "search")
    began_s = time.monotonic()
    [search] = platform.get_json(api)["results"]
    assert (search["state"], len(search["trials"])) == ("succeeded", 2)
    work = [platform.folder / "data" / "runs" / trial["run"] / "work" for trial in search["trials"]]
    wait_until(
        lambda: [folder.is_dir() for folder in work].count(True) == 1,
        within_s=PATIENCE_S,
        what=lambda: f"only the winner's checkpoint is left after {time.monotonic() - began_s:.0f} s",
    )


def test_a_schedule_of_the_form_is_kept_by_the_real_queue(page: Any, platform: Platform, each_minute: str) -> None:
    [run] = wait_until(
        lambda: ended_runs(platform, reason="schedule 'each-minute': cron")[-1:],
        within_s=PATIENCE_S,
        what="the queue has rung, and the run has ended",
    )
    assert (run["requested_by"], run["version"]) == ("schedule each-minute", 2)
    page.goto(each_minute)
    pick(page, "Pause")
    submit(page)
    page.get_by_text("is paused").wait_for()


def test_new_data_is_noticed_by_the_real_queue(platform: Platform, on_arrival: str, images: Path) -> None:
    wait_until(
        lambda: platform.get_json(on_arrival)["last_outcome"] == "no new data",
        within_s=PATIENCE_S,
        what="the queue has looked once",
    )
    write_images(images, seed=1)
    [run] = wait_until(
        lambda: ended_runs(platform, reason="schedule 'on-arrival': new data")[:1],
        within_s=PATIENCE_S,
        what="the new data is trained on",
    )
    assert platform.get_json(on_arrival)["last_outcome"] == f"run {run['short_id']}"
