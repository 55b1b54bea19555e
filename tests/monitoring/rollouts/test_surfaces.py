"""Rollouts in the console, over REST, in the terminal, and in the contract for shadows."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from monitoring.models.rollouts import AutomationHold, Rollout, RolloutStep
from monitoring.rollouts import services
from monitoring.rollouts.advance import advance_rollouts
from tests.monitoring.rollouts.fakes import Scene, compare

pytestmark = pytest.mark.django_db


@pytest.fixture
def console(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("eve", password="x"))
    return client


@pytest.fixture
def rollout() -> Rollout:
    """Return a rollout in its first canary step, with evidence."""
    scene = Scene(now=timezone.now())
    services.start_rollout(
        endpoint="digits", challenger="2", actor="ann", now=scene.now, inference=scene.inference,
        training=scene.training, overrides={"shadow_s": 1, "shadow_requests": 1, "steps": [5, 100]}, reason="drift",
    )  # fmt: skip
    for _ in range(6):
        advance_rollouts(scene.world, owner="p")
        if scene.inference.info.shadow:
            compare(scene)
        scene.serve(20)
        scene.pass_time(2)
    return Rollout.objects.get()


def test_a_rollouts_page_shows_steps_evidence_and_buttons(console: Client, rollout: Rollout) -> None:
    page = console.get(f"/admin/monitoring/rollout/{rollout.pk}/change/").content.decode()
    for text in ("canary 5%", "shadow", "replay", "What happened", "Pause", "Abort", "drift", "more"):
        assert text in page
    assert "Resume" not in page
    assert "errors: " in page and "mean error" not in page, "of a classifier there are no numbers to be told"


def test_buttons_ask_first_and_then_act(console: Client, rollout: Rollout) -> None:
    root = f"/admin/monitoring/rollout/{rollout.pk}/order"
    assert "bad verdict still leads back" in console.get(f"{root}/pause/").content.decode()
    rollout.refresh_from_db()
    assert not rollout.is_paused
    assert console.post(f"{root}/pause/").status_code == 302
    assert console.post(f"{root}/abort/").status_code == 302
    rollout.refresh_from_db()
    assert (rollout.is_paused, rollout.paused_by, rollout.order, rollout.ordered_by) == (True, "eve", "abort", "eve")
    assert console.post(f"{root}/explode/").status_code == 404


def test_one_click_holds_all_automation_and_every_page_says_so(console: Client) -> None:
    assert b"data-banner" not in console.get("/admin/").content
    console.post("/admin/monitoring/rollout/automation/", {"endpoint": "", "reason": "we look ourselves"})
    hold = AutomationHold.objects.get()
    for page in ("/admin/", "/admin/monitoring/alert/", "/admin/inference/endpoint/", "/admin/auth/user/"):
        assert "Automation is held everywhere by eve: we look ourselves" in console.get(page).content.decode()
    console.post(f"/admin/monitoring/rollout/automation/lift/{hold.pk}/")
    assert b"data-banner" not in console.get("/admin/").content


def test_who_may_not_change_rollouts_gets_no_button_and_no_order(client: Client, rollout: Rollout) -> None:
    from django.contrib.auth.models import Permission

    viewer = get_user_model().objects.create_user("vic", password="x", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_rollout"))
    client.force_login(viewer)
    page = client.get(f"/admin/monitoring/rollout/{rollout.pk}/change/")
    assert (page.status_code, b"Abort" in page.content) == (200, False)
    assert client.post(f"/admin/monitoring/rollout/{rollout.pk}/order/abort/").status_code == 403
    assert client.post("/admin/monitoring/rollout/automation/", {"reason": "x"}).status_code == 403


def test_the_timeline_puts_all_on_one_line(console: Client, rollout: Rollout) -> None:
    page = console.get("/admin/monitoring/rollout/timeline/digits/").content.decode()
    assert "version 2 shall replace version 1" in page
    assert console.get("/admin/monitoring/rollout/timeline/nobody/").status_code == 404


def test_the_home_page_and_the_lists_show_rollouts(console: Client, rollout: Rollout) -> None:
    assert "1 &rarr; 2" in console.get("/admin/").content.decode()
    assert console.get("/admin/monitoring/rollout/").status_code == 200
    assert console.get("/admin/monitoring/automationhold/").status_code == 200
    assert console.get("/admin/monitoring/retraining/").status_code == 200


def test_a_policy_that_cannot_be_is_refused_in_its_form(console: Client) -> None:
    page = "/admin/monitoring/promotionpolicy/add/"
    bad = console.post(page, {"endpoint": "digits", "values": json.dumps({"steps": [50, 5]})})
    assert "growing percents" in bad.content.decode()
    assert console.post(page, {"endpoint": "digits", "values": json.dumps({"steps": [5, 50]})}).status_code == 302


def run(*words: str) -> Any:
    out = StringIO()
    call_command("rollouts", *words, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_command_shows_pauses_holds_and_sets_policies(rollout: Rollout) -> None:
    assert run("list")[0]["challenger"] == 2
    assert [step["name"] for step in run("show", str(rollout.pk))["steps"]][-1] == "canary 100%"
    assert run("pause", str(rollout.pk))["is_paused"] is True
    out = StringIO()
    call_command("rollouts", "show", str(rollout.pk), stdout=out)
    assert "(running), paused by shell:" in out.getvalue()
    assert run("hold", "--reason", "we look")["held"] == "everywhere: we look"
    assert run("release")["released"] == "everywhere"
    assert run("policy", "digits", "--set", "steps=10,100", "alpha=0.01")["steps"] == [10, 100]
    assert run("policy", "digits")["alpha"] == 0.01
    assert any(moment["lane"] == "rollout" for moment in run("timeline", "digits"))
    with pytest.raises(CommandError, match="no rollout 999"):
        run("show", "999")
    with pytest.raises(CommandError, match="NAME=VALUE"):
        run("policy", "digits", "--set", "steps")


def test_what_a_rollout_never_came_to_is_not_called_pending(rollout: Rollout) -> None:
    last = rollout.steps.last()
    assert last is not None and last.shown_state == "pending"
    Rollout.objects.filter(pk=rollout.pk).update(state="rolled_back")
    last = Rollout.objects.get(pk=rollout.pk).steps.last()
    assert last is not None and last.shown_state == "not reached"


def test_every_step_of_a_plan_has_its_place() -> None:
    numbers = list(RolloutStep.objects.values_list("number", flat=True))
    assert numbers == sorted(numbers)
