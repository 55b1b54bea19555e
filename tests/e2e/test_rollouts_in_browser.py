"""A challenger's way on a real platform, ordered by the command and watched in a real browser; a person holds it."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.e2e.pages import agree, keep, pick
from tests.e2e.topology import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(420), pytest.mark.xdist_group("e2e")]

QUICK = ("replay_requests=0", "shadow_s=1", "shadow_requests=5", "steps=50,100", "step_s=1", "min_samples=20",
         "min_labels=100000", "min_agreement=0", "latency_margin=0.9", "validation_margin=1")  # fmt: skip


@pytest.fixture(scope="module")
def two_versions(platform: Platform) -> Platform:
    """Give the platform with version 1 of `digits` served, and version 2 registered."""
    order = ("train", "run", "keras_cnn", "--data", "digits", "--name", "digits", "--set", "epochs=2", "--wait")
    platform.run_manage(*order, "--deploy")
    platform.run_manage(*order)
    wait_until(
        lambda: platform.request("GET", "/v2/models/digits/versions/1/ready").status_code == 200,
        within_s=90,
        what="version 1 is served",
    )
    return platform


@pytest.fixture
def traffic(two_versions: Platform) -> Iterator[None]:
    """Send requests of many callers while a test runs: one alone would stay with one version of a split."""
    stop = threading.Event()
    images = np.random.default_rng(0).uniform(0, 16, (1, 8, 8, 1)).tolist()

    def send() -> None:
        for number in itertools.count():
            key = {"X-Routing-Key": f"caller-{number % 100}"}
            two_versions.request("POST", "/v1/models/digits:predict", json={"instances": images}, headers=key)
            if stop.wait(0.01):
                return

    sender = threading.Thread(target=send)
    sender.start()
    yield
    stop.set()
    sender.join()


def active_rollout(platform: Platform) -> Any:
    return platform.get_json("/api/monitoring/rollouts/?endpoint=digits")["results"][0]


def weights(platform: Platform) -> dict[int, int]:
    """Return percent by version, of those that get any."""
    traffic = platform.get_json("/api/inference/endpoints/digits/")["traffic"]
    return {share["version"]: share["weight"] for share in traffic if share["weight"]}


def test_the_command_waits_until_the_challenger_is_champion(two_versions: Platform, traffic: None) -> None:
    done = two_versions.run_manage(
        "rollouts", "start", "digits", "2", "--reason", "two epochs more", "--set", *QUICK, "--wait",
        "--timeout", "120", "--json", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert (told["state"], told["champion"], told["challenger"]) == ("promoted", 1, 2)
    assert [step["state"] for step in told["steps"] if step["name"].startswith("canary")] == ["passed", "passed"]
    assert weights(two_versions) == {2: 100}


def test_its_page_and_the_timeline_tell_the_whole_way(page: Any, two_versions: Platform) -> None:
    page.goto("/admin/monitoring/rollout/")
    page.get_by_role("link", name="digits").first.click()
    page.get_by_text("Version 2 instead of version 1 at digits").wait_for()
    for gate in ("validation", "shadow", "canary 50%", "canary 100%"):
        assert page.locator("tr", has_text=gate).first.is_visible()
    assert page.get_by_role("link", name="Abort").count() == 0, "it is over"
    keep(page, "rollout-promoted")
    pick(page, "Timeline of digits")
    page.get_by_text("Start a rollout").wait_for()
    lanes = set(page.locator("tbody .console-badge").all_inner_texts())
    assert {"rollout", "traffic", "training"} <= {lane.lower() for lane in lanes}
    keep(page, "timeline")


def test_one_click_holds_automation_on_every_page_until_it_is_lifted(
    page: Any, two_versions: Platform, traffic: None
) -> None:
    page.goto("/admin/monitoring/rollout/timeline/digits/")
    pick(page, "Hold automation")
    page.locator("[name=reason]").fill("we look ourselves")
    agree(page)
    banner = page.locator("[data-banner]", has_text="we look ourselves")
    banner.wait_for()
    keep(page, "hold")
    for address in ("/admin/", "/admin/training/run/", "/admin/monitoring/report/"):
        page.goto(address)
        assert banner.is_visible(), address
    refused_or_still = two_versions.run_manage(
        "rollouts", "start", "digits", "1", "--set", *QUICK, "--wait", "--timeout", "4", check=False
    )
    assert refused_or_still.returncode in (1, 3), refused_or_still.stdout
    assert weights(two_versions) == {2: 100}, "nothing moves under a hold"
    page.goto("/admin/monitoring/automationhold/")
    pick(page, "Lift the hold")
    agree(page)
    page.get_by_text("Automation goes on.").wait_for()
    assert page.locator("[data-banner]").count() == 0
