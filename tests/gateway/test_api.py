"""The gateway's own REST API through the middleware, and what the middleware audits."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client

from gateway.identities import identities
from gateway.models import AuditRecord, Token
from gateway.services import create_token, delete_old_audit_records

pytestmark = pytest.mark.django_db

TOKENS = "/api/gateway/tokens/"


@pytest.fixture(autouse=True)
def ada() -> User:
    identities.mark_changed()
    return User.objects.create_user("ada")


def client_with(*scopes: str, **values: Any) -> Client:
    _, secret = create_token(username="ada", name="client", scopes=list(scopes), **values)
    return Client(headers={"Authorization": f"Bearer {secret}"})


def test_an_admin_makes_a_token_whose_secret_is_shown_once() -> None:
    admin = client_with("admin")
    made = admin.post(TOKENS, {"name": "robot", "scopes": ["predict"], "expires_in_s": 3600}, "application/json")
    assert made.status_code == 201, made.content
    assert made.json()["user"] == "ada"
    secret = made.json()["token"]
    assert identities.authenticate(f"Bearer {secret}").identity.username == "ada"
    listed = admin.get(TOKENS)
    assert listed.json()["count"] == 2
    assert secret not in listed.content.decode()
    assert "token" not in admin.get(f"{TOKENS}{made.json()['id']}/").json()


def test_an_admin_revokes_a_token() -> None:
    admin = client_with("admin")
    other = client_with("admin")
    pk = Token.objects.order_by("-pk").values_list("pk", flat=True)[0]
    answer = admin.delete(f"{TOKENS}{pk}/")
    assert (answer.status_code, answer.json()["is_usable"]) == (200, False)
    assert other.get(TOKENS).status_code == 401
    assert admin.get(TOKENS).status_code == 200


@pytest.mark.parametrize("path", [TOKENS, "/api/gateway/audit/"])
@pytest.mark.parametrize("scope", ["predict", "train", "monitor"])
def test_only_admins_see_tokens_and_the_audit_log(scope: str, path: str) -> None:
    answer = client_with(scope).get(path)
    assert (answer.status_code, answer.json()["details"]) == (403, {"scope": "admin"})


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}])
def test_without_a_token_the_answer_is_401_in_the_platforms_form(header: dict[str, str]) -> None:
    answer = Client(headers=header).get(TOKENS)
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_bad_request_names_the_fields() -> None:
    answer = client_with("admin").post(TOKENS, {"name": "x", "scopes": ["root"]}, "application/json")
    assert answer.status_code == 400
    assert "scopes" in answer.json()["error"]


def test_past_the_limit_the_rest_api_says_429_with_all_details() -> None:
    client = client_with("admin", api_rate="2/day")
    assert [client.get(TOKENS).status_code for _ in range(2)] == [200, 200]
    refused = client.get(TOKENS)
    assert refused.status_code == 429
    assert refused.json()["details"]["setting"].startswith("api_rate of token")
    assert int(refused["Retry-After"]) > 0
    assert refused["RateLimit-Remaining"] == "0"
    assert refused["X-Request-Id"]


def test_a_change_to_training_needs_the_train_scope_before_anything_else() -> None:
    answer = client_with("predict").post("/api/training/no-such-thing/", {}, "application/json")
    assert (answer.status_code, answer.json()["details"]) == (403, {"scope": "train"})


def test_every_change_is_audited_with_its_outcome_and_reading_is_not() -> None:
    client = client_with("train")
    AuditRecord.objects.all().delete()
    client.get("/api/training/no-such-thing/")
    client.post("/api/training/no-such-thing/", {}, "application/json", headers={"X-Request-Id": "req-9"})
    Client().delete(f"{TOKENS}1/")
    refused, missing = AuditRecord.objects.all()
    assert (missing.actor, missing.action, missing.http_status, missing.request_id) == ("ada", "POST", 404, "req-9")
    assert missing.token_id == str(Token.objects.get().pk)
    assert (refused.actor, refused.action, refused.http_status) == ("anonymous", "DELETE", 401)


def test_the_audit_log_is_filtered_by_actor_and_object() -> None:
    admin = client_with("admin")
    found = admin.get("/api/gateway/audit/", {"actor": "ada", "object__startswith": "token:"}).json()
    assert found["count"] == 1
    assert found["results"][0]["action"] == "token.create"
    assert admin.get("/api/gateway/audit/", {"actor": "nobody"}).json()["count"] == 0


def test_an_audit_record_does_not_change() -> None:
    client_with("admin")
    record = AuditRecord.objects.get()
    record.actor = "someone else"
    with pytest.raises(TypeError, match="does not change"):
        record.save()


def test_old_audit_records_age_out(settings: Any) -> None:
    client_with("admin")
    settings.AUDIT_RETENTION_DAYS = 0
    assert delete_old_audit_records() == 0
    settings.AUDIT_RETENTION_DAYS = 30
    assert delete_old_audit_records() == 0
    AuditRecord.objects.update(time="2020-01-01T00:00:00Z")
    assert delete_old_audit_records() == 1


def test_a_body_that_is_too_large_is_refused_before_it_is_read(settings: Any) -> None:
    settings.MAX_BODY_BYTES = 10
    answer = client_with("admin").post(TOKENS, {"name": "long enough"}, "application/json")
    assert (answer.status_code, answer.json()["details"]["setting"]) == (413, "MAX_BODY_BYTES")


def test_a_change_goes_on_when_the_audit_log_cannot_be_written() -> None:
    client = client_with("train")
    refused: list[str] = []

    def refuse_audit(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "gateway_auditrecord" in sql:
            refused.append(sql)
            raise OperationalError("the database is away")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_audit):
        assert client.post("/api/training/no-such-thing/", {}, "application/json").status_code == 404
    assert len(refused) == 1
