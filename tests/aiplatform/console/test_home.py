"""The home page: panels of the apps, or the first steps; and the sidebar."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.test import Client, RequestFactory

from aiplatform.console.navigation import sidebar
from aiplatform.errors import UnavailableError
from aiplatform.wiring import Panel, wiring
from tests.aiplatform.console.fake_world import World

pytestmark = pytest.mark.django_db


def panel(name: str, order: int, context: Any = dict) -> Panel:
    return Panel(
        name=name, order=order, template="console/panel_failed.html", context=lambda: {"name": name, **context()}
    )


def test_a_stranger_is_sent_to_the_login(client: Client, fake_world: World) -> None:
    response = client.get("/admin/")
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_without_panels_the_page_says_what_to_type(staff: Client, fake_world: World, panels: list[Panel]) -> None:
    page = staff.get("/admin/").content.decode()
    assert "manage.py train run keras_cnn --data digits" in page


def test_panels_stand_in_their_order(staff: Client, fake_world: World, panels: list[Panel]) -> None:
    panels.extend([panel("second", 20), panel("first", 10)])
    page = staff.get("/admin/").content.decode()
    assert page.index("First") < page.index("Second")
    assert "manage.py train run" not in page


def test_a_panel_whose_service_is_down_leaves_the_others_alone(
    staff: Client, fake_world: World, panels: list[Panel]
) -> None:
    def fail() -> dict[str, Any]:
        raise UnavailableError("monitoring cannot be reached")

    panels.extend([panel("alerts", 1, fail), panel("runs", 2)])
    response = staff.get("/admin/")
    assert response.status_code == 200
    page = response.content.decode()
    assert "monitoring cannot be reached" in page
    assert "Runs" in page


def test_the_sidebar_leads_to_the_playground_and_the_api(staff: Client, fake_world: World) -> None:
    page = staff.get("/admin/").content.decode()
    for address in ("/playground/", "/api/docs/", "/api/redoc/", "/admin/auth/user/"):
        assert f'href="{address}"' in page


def test_the_sidebar_shows_only_what_a_person_may_see(client: Client, fake_world: World) -> None:
    client.force_login(get_user_model().objects.create_user("guest", is_staff=True))
    page = client.get("/admin/").content.decode()
    assert 'href="/playground/"' in page
    assert "/admin/auth/user/" not in page


def groups(request: HttpRequest) -> dict[str, dict[str, Any]]:
    return {group["title"]: group for group in sidebar(request)}


def test_every_table_has_its_place_in_the_sidebar(rf: RequestFactory, admin_user: Any) -> None:
    request = rf.get("/admin/")
    request.user = admin_user
    found = groups(request)
    assert "Other tables" not in found
    assert [item["title"] for item in found["Alerts"]["items"]] == [
        "Alerts", "Alert groups", "Silences", "Notifications",
    ]  # fmt: skip
    offered = sum(len(app["models"]) for app in admin.site.get_app_list(request))
    pages = ("", "For programs")
    assert sum(len(group["items"]) for title, group in found.items() if title not in pages) == offered


def test_a_number_stands_beside_its_table_and_its_folded_group(
    rf: RequestFactory, admin_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise UnavailableError("away")

    monkeypatch.setattr(wiring, "badges", {"monitoring.alert": lambda: 3, "monitoring.silence": fail})
    request = rf.get("/admin/")
    request.user = admin_user
    alerts = groups(request)["Alerts"]
    assert (alerts["badge"], [item["badge"] for item in alerts["items"]]) == (3, [3, 0, 0, 0])


def test_a_list_is_named_by_what_it_lists(staff: Client, fake_world: World) -> None:
    for address, title in (("/admin/auth/user/", "Users"), ("/admin/auth/group/", "Groups")):
        page = staff.get(address).content.decode()
        assert re.search(rf"<title>\s*{title} \| aiplatform</title>", page)
        assert "to change" not in page


def test_pages_take_all_their_assets_from_here(staff: Client, fake_world: World) -> None:
    for address in ("/admin/", "/playground/", "/api/docs/", "/api/redoc/", "/admin/login/"):
        page = staff.get(address, follow=True).content.decode()
        for quote in ('src="', 'href="'):
            links = [part.split('"')[0] for part in page.split(quote)[1:]]
            assert not [link for link in links if link.startswith(("http:", "https:", "//"))], address


def test_people_are_made_in_the_consoles_own_look(staff: Client, fake_world: World) -> None:
    page = staff.get("/admin/auth/user/add/").content.decode()
    assert "unfold/css/styles.css" in page
    assert 'name="username"' in page


def test_the_queues_own_tables_are_not_offered(staff: Client, fake_world: World) -> None:
    assert staff.get("/admin/django_q/ormq/").status_code == 404
