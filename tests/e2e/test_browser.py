"""The road as a person walks it, in a real browser in front of the real platform.

Log in, watch a run, deploy its version, draw a digit, say that the answer is wrong, acknowledge an
alert. Screenshots of every page, light and dark, go to test-output/screenshots/.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from tests.e2e.pages import keep, pick
from tests.e2e.topology import Platform, wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.timeout(420),
    pytest.mark.xdist_group("e2e"),
]


@pytest.fixture(scope="module")
def run_id(platform: Platform) -> str:
    """Give a training that has just been ordered."""
    done = platform.run_manage(
        "train", "run", "keras_cnn", "--data", "digits", "--name", "digits", "--set", "epochs=4", "--detach", "--json"
    )
    return str(json.loads(done.stdout.strip().splitlines()[-1])["run"])


def test_a_run_is_watched_until_it_succeeded(page: Any, platform: Platform, run_id: str) -> None:
    page.goto(f"/admin/training/run/{run_id}/change/")
    page.get_by_text("What was ordered").wait_for()
    page.get_by_text(re.compile("succeeded", re.IGNORECASE)).first.wait_for(timeout=120_000)
    page.locator("#run-live[data-ended='1'] svg").first.wait_for()  # loaded once more, for the last time
    keep(page, "run")


def test_its_version_is_deployed_by_a_button_that_asks(page: Any, platform: Platform, run_id: str) -> None:
    page.goto(f"/admin/training/run/{run_id}/change/")
    page.get_by_role("link", name="digits version 1").click()
    keep(page, "version")
    pick(page, "Deploy")
    keep(page, "deploy-question")
    assert platform.request("GET", "/v2/models/digits").status_code == 404, "nothing happens before the answer"
    page.locator("form[method=post] button[type=submit].console-button").click()
    wait_until(
        lambda: platform.request("GET", "/v2/models/digits/versions/1/ready").status_code == 200,
        within_s=90,
        what="version 1 is served",
    )
    page.goto("/admin/inference/endpoint/digits/detail/")
    page.get_by_text("Serving processes").wait_for()
    keep(page, "endpoint")


def draw_seven(page: Any) -> None:
    """Draw a 7 on the board with the mouse."""
    box = page.locator("#board").bounding_box()
    across, down = box["width"] / 10, box["height"] / 10
    page.mouse.move(box["x"] + 2.5 * across, box["y"] + 2 * down)
    page.mouse.down()
    for x, y in ((7.5, 2), (6, 5), (4.5, 8.5)):
        page.mouse.move(box["x"] + x * across, box["y"] + y * down, steps=8)
    page.mouse.up()


def test_a_drawn_digit_is_answered_and_judged(page: Any, platform: Platform) -> None:
    page.goto("/playground/")
    draw_seven(page)
    page.wait_for_function("document.querySelectorAll('.playground-row').length === 10")
    page.locator("#right:enabled").wait_for()  # what is drawn is what was answered
    answer = page.locator("#answer").text_content()
    assert answer in list("0123456789")
    other = "4" if answer != "4" else "9"
    page.locator(f"#labels button[data-label='{other}']").click()
    page.get_by_text(f"Noted: it is {other}").wait_for()
    keep(page, "playground")


def test_a_firing_alert_is_acknowledged(page: Any, platform: Platform) -> None:
    rule = {
        "name": "digits have moved", "endpoint": "digits", "metric": "drift_psi", "comparison": "gt", "threshold": 0.25,
        "window_s": 300, "for_s": 0, "keep_firing_for_s": 0, "severity": "warning", "minimum_samples": 50,
    }  # fmt: skip
    platform.post_json("/api/monitoring/rules/", rule)
    bright = np.full((10, 8, 8, 1), 255.0) - np.random.default_rng(0).uniform(0, 60, (10, 8, 8, 1))
    for _ in range(20):
        platform.post_json("/v1/models/digits:predict", {"instances": bright.tolist()})
    wait_until(
        lambda: platform.get_json("/api/monitoring/alerts/?state=firing")["results"],
        within_s=60,
        what="the drift alert fires",
    )
    page.goto("/admin/")
    page.get_by_text("digits have moved").first.wait_for()
    keep(page, "home")
    page.get_by_role("link", name="digits have moved").first.click()
    keep(page, "alert")
    pick(page, "Acknowledge")
    keep(page, "acknowledge-question")
    page.locator("form[method=post] button[type=submit].console-button").click()
    page.get_by_text("The alert is acknowledged.").wait_for()
    [alert] = platform.get_json("/api/monitoring/alerts/?state=firing")["results"]
    assert alert["acknowledged_by"] == platform.admin_user


@pytest.mark.parametrize(
    "address",
    [
        "/admin/training/run/",
        "/admin/training/registeredmodel/",
        "/admin/training/modelversion/",
        "/admin/inference/endpoint/",
        "/admin/monitoring/report/",
        "/admin/monitoring/report/digits/1/",
        "/admin/monitoring/alert/",
        "/admin/monitoring/alertrule/",
        "/admin/monitoring/alertrule/add/",
        "/admin/monitoring/channel/add/",
        "/admin/monitoring/notification/",
        "/admin/monitoring/prediction/",
        "/admin/monitoring/feedback/",
        "/admin/gateway/token/",
        "/admin/gateway/token/add/",
        "/admin/gateway/auditrecord/",
        "/admin/auth/user/",
        "/api/docs/",
    ],
)
def test_every_page_opens(page: Any, address: str) -> None:
    response = page.goto(address)
    assert response.status == 200
    page.wait_for_load_state("networkidle")
    keep(page, "page-" + address.strip("/").replace("/", "-"))
