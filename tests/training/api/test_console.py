"""Training's pages in the console: they show what is so, and ask before they change anything."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from training.models import Alias, EpochMetrics, Run
from training.panel import panel_context
from training.states import RunState

from ..factories import make_run, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("ann", password="secret"))
    return client


def _running() -> Run:
    progress = {
        "phase": "learning",
        "epochs": 4,
        "steps": 10,
        "epoch": 2,
        "step": 5,
        "metrics": {"loss": 0.5},
        "left_s": 9,
    }
    run = make_run(state=RunState.RUNNING, progress=progress)
    for epoch in (1, 2):
        EpochMetrics.objects.create(run=run, epoch=epoch, values={"loss": 1 / epoch, "val_loss": 2 / epoch})
    return run


def test_the_list_shows_runs_with_their_states(staff: Client) -> None:
    run = _running()
    page = staff.get(reverse("admin:training_run_changelist")).content.decode()
    assert run.short_id in page
    assert "Running" in page


def test_a_run_page_shows_curves_progress_and_a_cancel_button(staff: Client) -> None:
    run = _running()
    page = staff.get(reverse("admin:training_run_change", args=[run.pk])).content.decode()
    assert "<console-chart" in page
    assert "2/4" in page
    assert reverse("admin:training_run_cancel", args=[run.pk]) in page
    assert reverse("admin:training_run_resume", args=[run.pk]) not in page


def test_the_live_part_is_json(staff: Client) -> None:
    run = _running()
    live = staff.get(reverse("admin:training_run_live", args=[run.pk])).json()
    assert (live["state"], live["is_ended"], live["share"]) == ("running", False, 38)
    assert "val_loss" in live["charts"]
    assert "2/4" in live["head"]


def test_cancelling_asks_first_and_only_the_answer_changes_the_run(staff: Client) -> None:
    run = make_run()
    url = reverse("admin:training_run_cancel", args=[run.pk])
    assert b"Cancel run" in staff.get(url).content
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
    assert staff.post(url).status_code == 302
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED


def test_resuming_asks_first(staff: Client) -> None:
    run = make_run(state=RunState.FAILED)
    url = reverse("admin:training_run_resume", args=[run.pk])
    assert b"Resume run" in staff.get(url).content
    staff.post(url)
    run.refresh_from_db()
    assert run.state == RunState.QUEUED


def test_one_who_may_only_look_cannot_cancel(client: Client) -> None:
    user = get_user_model().objects.create_user("bob", password="secret", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_run"))
    client.force_login(user)
    run = make_run()
    page = client.get(reverse("admin:training_run_change", args=[run.pk]))
    assert page.status_code == 200
    assert "Cancel run" not in page.content.decode()
    assert client.post(reverse("admin:training_run_cancel", args=[run.pk])).status_code == 403


def test_a_version_page_shows_lineage_and_sets_an_alias(staff: Client) -> None:
    version = make_version()
    page = staff.get(reverse("admin:training_modelversion_change", args=[version.pk])).content.decode()
    assert "sha256:1" in page
    assert "code_commit" in page
    url = reverse("admin:training_modelversion_alias", args=[version.pk])
    assert "latest" in staff.post(url, {"alias": "latest"}).content.decode()  # refused, with the reason
    staff.post(url, {"alias": "champion"})
    assert Alias.objects.get().changed_by == "ann"


def test_a_deployment_that_fails_says_so_on_the_page(staff: Client) -> None:
    version = make_version()
    url = reverse("admin:training_modelversion_deploy", args=[version.pk])
    assert b"Deploy mnist version 1?" in staff.get(url).content
    answer = staff.post(url, {"endpoint": "Not a name"})
    assert b"Enter a valid value" in answer.content


def test_a_model_page_lists_versions_and_removes_an_alias(staff: Client) -> None:
    version = make_version()
    Alias.objects.create(model=version.model, name="champion", version=version)
    page = staff.get(reverse("admin:training_registeredmodel_change", args=[version.model_id])).content.decode()
    assert "champion" in page
    url = reverse("admin:training_registeredmodel_remove_alias", args=[version.model_id, "champion"])
    staff.get(url)
    assert Alias.objects.exists()
    staff.post(url)
    assert not Alias.objects.exists()


def test_a_version_that_no_run_made_has_pages_too(staff: Client) -> None:
    version = make_version(run=None)
    page = staff.get(reverse("admin:training_modelversion_change", args=[version.pk])).content.decode()
    assert "sha256:1" in page
    assert ">Run " not in page
    page = staff.get(reverse("admin:training_registeredmodel_change", args=[version.model_id])).content.decode()
    assert "imported" in page


def test_the_lists_of_models_and_versions_open(staff: Client) -> None:
    make_version()
    for name in ("registeredmodel", "modelversion"):
        assert b"mnist" in staff.get(reverse(f"admin:training_{name}_changelist")).content


def test_the_home_panel_puts_what_runs_first() -> None:
    running = _running()
    make_run(state=RunState.SUCCEEDED)
    context = panel_context()
    assert (context["active"], context["waiting"]) == (1, 0)
    assert context["rows"][0]["run"] == running
