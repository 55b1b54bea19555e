"""Endpoints in the console: pages show the state, buttons ask before they order."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from aiplatform.contracts.inference import ReplicaState
from inference import selectors, services
from inference.models import EndpointRevision
from inference.panel import endpoints_panel
from inference.reconcile.store import DatabaseStore, StatusRow
from tests.inference.endpoints.fakes import FakeRegistry

pytestmark = pytest.mark.django_db


@pytest.fixture
def console(registry: FakeRegistry) -> Client:
    """Return a browser of a superuser; `digits` has two deployments."""
    for reference in ("1", "2"):
        services.deploy_version(
            endpoint="digits", model="digits", reference=reference, actor="ann", reason="try", registry=registry
        )
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="not-used-here"))
    return client


def url(page: str, *arguments: str) -> str:
    return reverse(f"admin:inference_endpoint_{page}", args=arguments)


def text(response: Any) -> str:
    return str(response.content.decode())


def test_the_list_shows_state_and_traffic(console: Client) -> None:
    shown = text(console.get(url("changelist")))
    assert "not served" in shown and "version 2: 100%" in shown


def test_an_endpoints_page_shows_problems_replicas_and_history(console: Client) -> None:
    row = StatusRow(endpoint="digits", version=2, state=ReplicaState.FAILED, message="altered file", generation_seen=2)
    DatabaseStore().write_status("r1", [row])
    shown = text(console.get(url("detail", "digits")))
    assert "altered file" in shown and "r1" in shown and "/admin/monitoring/report/digits/2/" in shown
    assert shown.count("ann") >= 2
    assert "p95 latency, ms" in shown and "Drift of the worst feature" in shown


def test_a_rollback_is_offered_only_where_there_is_something_to_return_to(
    console: Client, registry: FakeRegistry
) -> None:
    services.deploy_version(endpoint="new", model="digits", reference="1", actor="ann", reason="", registry=registry)
    assert url("rollback", "digits") in text(console.get(url("detail", "digits")))
    assert url("rollback", "new") not in text(console.get(url("detail", "new")))


@pytest.mark.parametrize(
    ("page", "data", "traffic"),
    [
        ("deploy", {"reference": "3", "reason": "newer"}, {3: 100}),
        ("traffic", {"shares": "1=40 2=60", "reason": ""}, {1: 40, 2: 60}),
        ("rollback", {"reason": "worse", "generation": "2"}, {1: 100}),
    ],
)
def test_a_button_asks_first_and_orders_on_yes(
    console: Client, page: str, data: dict[str, str], traffic: dict[int, int]
) -> None:
    asked = console.get(url(page, "digits"))
    assert asked.status_code == 200 and "What will change" in text(asked)
    assert EndpointRevision.objects.count() == 2
    ordered = console.post(url(page, "digits"), data)
    assert ordered.status_code == 302, text(ordered)
    assert {s.version: s.weight for s in selectors.get_endpoint("digits").traffic} == traffic
    assert EndpointRevision.objects.latest("generation").actor == "root"


def test_the_question_before_a_rollback_says_where_it_leads(console: Client) -> None:
    assert "Then: digits, version 1: 100%." in text(console.get(url("rollback", "digits")))


def test_a_rollback_of_what_has_changed_since_is_refused(console: Client) -> None:
    answer = console.post(url("rollback", "digits"), {"reason": "worse", "generation": "1"})
    assert answer.status_code == 409
    assert EndpointRevision.objects.count() == 2


def test_an_order_that_cannot_be_is_shown_with_its_reason(console: Client) -> None:
    answer = console.post(url("traffic", "digits"), {"shares": "1=40", "reason": ""})
    assert answer.status_code == 400 and "add up to 100, not 40" in text(answer)
    assert console.post(url("deploy", "digits"), {"reference": "77"}).status_code == 404


def test_a_new_endpoint_is_made_and_one_is_deleted(console: Client) -> None:
    assert console.get(url("add")).status_code == 302
    made = {"endpoint": "second", "model": "digits", "reference": "latest", "reason": ""}
    assert console.post(url("deploy_new"), made).status_code == 302
    assert selectors.get_endpoint("second").traffic[0].version == 3
    assert console.post(url("stop", "second"), {"reason": "over"}).status_code == 302
    assert [endpoint.name for endpoint in selectors.list_endpoints()] == ["digits"]


def test_a_member_of_staff_without_the_right_may_not_order(console: Client) -> None:
    client = Client()
    client.force_login(User.objects.create_user("eve", password="not-used-here", is_staff=True))
    assert client.post(url("rollback", "digits"), {"reason": "x", "generation": "2"}).status_code == 403
    assert client.get(url("detail", "digits")).status_code == 403


def test_an_unknown_endpoint_is_not_found(console: Client) -> None:
    for page in ("detail", "deploy", "traffic", "rollback", "stop"):
        assert console.get(url(page, "nobody")).status_code == 404


def test_the_home_panel_counts_what_is_ready(console: Client) -> None:
    from django.template.loader import render_to_string

    panel = endpoints_panel()
    assert (panel["ready"], panel["endpoints"][0]["state"]) == (0, "not served")
    assert "digits" in render_to_string("inference/panel.html", panel)
