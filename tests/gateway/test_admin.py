"""Tokens and the audit log in the console."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway.identities import identities
from gateway.models import AuditRecord, Token
from gateway.services import create_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def console() -> Client:
    root = User.objects.create_superuser("root", password="a-long-password")
    client = Client()
    client.force_login(root)
    return client


def test_a_new_tokens_secret_is_shown_once(console: Client) -> None:
    assert console.get("/admin/gateway/token/add/").status_code == 200
    page = console.post("/admin/gateway/token/add/", {"username": "root", "name": "robot", "scopes": ["predict"]})
    found = re.search(r"aip_[0-9a-f]+", page.content.decode())
    assert found
    assert "no-store" in page["Cache-Control"]
    assert identities.authenticate(f"Bearer {found[0]}").identity.username == "root"
    pk = Token.objects.get().pk
    for path in ("", f"{pk}/change/"):
        again = console.get(f"/admin/gateway/token/{path}", follow=True)
        assert again.status_code == 200
        assert found[0] not in again.content.decode()


def test_a_form_that_breaks_a_rule_says_so(console: Client) -> None:
    page = console.post("/admin/gateway/token/add/", {"username": "nobody", "name": "x", "scopes": ["predict"]})
    assert page.status_code == 404
    assert "there is no active user" in page.content.decode()


def test_revoking_asks_first(console: Client) -> None:
    token, _ = create_token(username="root", name="robot", scopes=["predict"])
    path = f"/admin/gateway/token/{token.pk}/revoke/"
    assert "Revoke the token" in console.get(path).content.decode()
    token.refresh_from_db()
    assert token.is_usable
    console.post(path)
    token.refresh_from_db()
    assert token.state == "revoked"


def test_the_audit_log_is_read_only(console: Client) -> None:
    create_token(username="root", name="robot", scopes=["predict"])
    record = AuditRecord.objects.get()
    assert "token.create" in console.get("/admin/gateway/auditrecord/").content.decode()
    assert console.get("/admin/gateway/auditrecord/add/").status_code == 403
    assert console.post(f"/admin/gateway/auditrecord/{record.pk}/delete/", {"post": "yes"}).status_code == 403
    assert console.post(f"/admin/gateway/auditrecord/{record.pk}/change/", {"actor": "x"}).status_code == 403


def test_a_member_of_staff_without_permission_makes_and_revokes_nothing() -> None:
    create_token(username=User.objects.create_user("staff", is_staff=True).username, name="own", scopes=["predict"])
    client = Client()
    client.force_login(User.objects.get(username="staff"))
    values = {"username": "staff", "name": "x", "scopes": ["admin"]}
    assert client.post("/admin/gateway/token/add/", values).status_code in (302, 403)
    client.post(f"/admin/gateway/token/{Token.objects.get().pk}/revoke/")
    assert Token.objects.get().is_usable
