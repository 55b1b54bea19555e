"""The public REST API of endpoints."""

from __future__ import annotations

import pytest
from django.test import Client

from inference.models import EndpointRevision
from tests.inference.api.conftest import Caller
from tests.inference.endpoints.fakes import FakeRegistry

pytestmark = pytest.mark.django_db
ROOT = "/api/inference/endpoints/"
HALF = [{"version": 1, "weight": 50}]


def deploy(admin: Caller, reference: str = "latest", name: str = "digits", reason: str = "") -> dict[str, object]:
    status, body = admin.post(f"{ROOT}{name}/deploy/", model="digits", reference=reference, reason=reason)
    assert status == 200, body
    assert isinstance(body, dict)
    return body


def test_a_deployment_is_ordered_seen_and_remembered(registry: FakeRegistry, admin: Caller, monitor: Caller) -> None:
    body = deploy(admin, "2", reason="better")
    assert body["traffic"] == [{"version": 2, "weight": 100}]
    assert body["image"] == {"height": 8, "width": 8, "channels": 1, "low": 0.0, "high": 255.0}
    assert monitor.get(f"{ROOT}digits/") == (200, body)
    _, history = monitor.get(f"{ROOT}digits/history/")
    (entry,) = history["results"]
    assert (entry["actor"], entry["reason"], entry["kind"]) == ("ann", "better", "deploy")


def test_traffic_is_split_and_rolled_back_over_the_api(registry: FakeRegistry, admin: Caller) -> None:
    deploy(admin, "1")
    split = [{"version": 1, "weight": 90}, {"version": 2, "weight": 10}]
    status, body = admin.post(f"{ROOT}digits/traffic/", traffic=split)
    assert (status, body["traffic"]) == (200, split)
    for _ in range(2):
        status, body = admin.post(f"{ROOT}digits/rollback/", reason="worse", idempotency_key="k1")
        assert (status, body["traffic"]) == (200, [{"version": 1, "weight": 100}])
    assert EndpointRevision.objects.count() == 3


def test_endpoints_are_paged_and_filtered(registry: FakeRegistry, admin: Caller) -> None:
    for name in ("a1", "a2", "b1"):
        deploy(admin, name=name)
    status, page = admin.get(f"{ROOT}?page_size=2")
    assert (status, page["count"], len(page["results"])) == (200, 3, 2)
    assert [e["name"] for e in admin.get(f"{ROOT}?name=a")[1]["results"]] == ["a1", "a2"]
    assert admin.get(f"{ROOT}?model=none")[1]["results"] == []
    assert [e["name"] for e in admin.get(f"{ROOT}?ordering=-name")[1]["results"]] == ["b1", "a2", "a1"]


def test_a_deleted_endpoint_is_gone_and_its_history_is_not(registry: FakeRegistry, admin: Caller) -> None:
    deploy(admin)
    assert admin.delete(f"{ROOT}digits/") == (204, None)
    assert admin.get(f"{ROOT}digits/")[0] == 404
    assert [e["kind"] for e in admin.get(f"{ROOT}digits/history/")[1]["results"]] == ["delete", "deploy"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("digits/deploy/", {"model": "digits", "reference": "99"}, 404, "not_found"),
        ("digits/deploy/", {"model": "digits"}, 400, "invalid_input"),
        ("digits/deploy/", {"model": "digits", "reference": "1", "traffic": HALF}, 400, "invalid_input"),
        ("nobody/traffic/", {"traffic": [{"version": 1, "weight": 100}]}, 404, "not_found"),
        ("nobody/rollback/", {"reason": "x"}, 404, "not_found"),
        ("digits/rollback/", {}, 400, "invalid_input"),
    ],
)
def test_a_wrong_order_is_answered_with_its_reason(
    registry: FakeRegistry, admin: Caller, path: str, body: dict[str, object], status: int, code: str
) -> None:
    got, answer = admin.post(ROOT + path, **body)
    assert (got, answer["code"]) == (status, code), answer
    assert answer["error"]


def test_a_rollback_with_nothing_before_is_a_conflict(registry: FakeRegistry, admin: Caller) -> None:
    deploy(admin)
    status, answer = admin.post(f"{ROOT}digits/rollback/", reason="x")
    assert (status, answer["code"]) == (409, "conflict")


def test_looking_needs_monitor_and_changing_needs_admin(registry: FakeRegistry, admin: Caller, monitor: Caller) -> None:
    deploy(admin)
    assert monitor.get(ROOT)[0] == 200
    for answer in (
        monitor.post(f"{ROOT}digits/deploy/", model="digits", reference="1"),
        monitor.post(f"{ROOT}digits/rollback/", reason="x"),
        monitor.delete(f"{ROOT}digits/"),
    ):
        assert (answer[0], answer[1]["code"]) == (403, "permission_denied")
    assert Client().get(ROOT).status_code in (401, 403)


def test_the_openapi_document_describes_every_operation_without_a_warning(registry: FakeRegistry) -> None:
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    GENERATOR_STATS.reset()
    schema = SchemaGenerator(urlconf="inference.api.urls").get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    assert not GENERATOR_STATS._warn_cache and not GENERATOR_STATS._error_cache
    assert {path for path in schema["paths"] if path.startswith("/api/")} == {
        f"{ROOT}", f"{ROOT}{{name}}/", f"{ROOT}{{name}}/deploy/", f"{ROOT}{{name}}/traffic/",
        f"{ROOT}{{name}}/rollback/", f"{ROOT}{{name}}/history/", f"{ROOT}{{name}}/shadow/",
        f"{ROOT}{{name}}/switch-off/", f"{ROOT}{{name}}/switch-on/",
        f"{ROOT}{{name}}/freeze/", f"{ROOT}{{name}}/unfreeze/",
    }  # fmt: skip
    listed = schema["paths"][ROOT]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert listed["$ref"].endswith("PaginatedEndpointList")


def test_an_endpoint_is_frozen_switched_off_and_on_again(registry: FakeRegistry, admin: Caller) -> None:
    deploy(admin, "1")
    assert admin.post(f"{ROOT}digits/freeze/", reason="drift")[1]["is_frozen"] is True
    assert admin.post(f"{ROOT}digits/deploy/", model="digits", reference="2")[0] == 409
    assert admin.post(f"{ROOT}digits/unfreeze/", reason="fine")[1]["is_frozen"] is False
    for _ in range(2):
        status, body = admin.post(f"{ROOT}digits/switch-off/", reason="wrong prices", idempotency_key="k1")
        assert (status, body["is_off"], body["off_reason"]) == (200, True, "wrong prices")
    assert admin.post(f"{ROOT}digits/switch-on/", reason="fixed")[1]["is_off"] is False
    assert admin.post(f"{ROOT}digits/shadow/", version=2, reason="try")[1]["shadow"] == 2
    assert admin.post(f"{ROOT}digits/shadow/", version=None, reason="enough")[1]["shadow"] is None
    kinds = [revision.kind for revision in EndpointRevision.objects.order_by("generation")]
    assert kinds == ["deploy", "freeze", "unfreeze", "switch_off", "switch_on", "shadow", "shadow"]
