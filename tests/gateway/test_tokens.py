"""Tokens in the database, and the command that manages them."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from aiplatform.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from aiplatform.identity import Scope
from gateway.identities import identities
from gateway.management.commands.tokens import parse_period
from gateway.models import AuditRecord, Token
from gateway.secrets import hash_secret
from gateway.services import create_token, revoke_token
from gateway.usage import write_last_used

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ada() -> User:
    identities.mark_changed()
    return User.objects.create_user("ada")


def make(**values: Any) -> tuple[Token, str]:
    return create_token(**{"username": "ada", "name": "client", "scopes": ["predict"], **values})


def run(*args: str) -> str:
    out = StringIO()
    call_command("tokens", *args, stdout=out)
    return out.getvalue()


def test_only_the_digest_is_in_the_database() -> None:
    token, secret = make()
    assert secret.startswith("aip_")
    assert token.digest == hash_secret(secret)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM gateway_token")
        assert secret not in str(cursor.fetchall())
    assert secret not in str(list(AuditRecord.objects.values()))


def test_a_user_may_have_many_tokens_each_with_its_own_scopes() -> None:
    _, first = make(scopes=["predict"])
    _, second = make(scopes=["train", "monitor"])
    assert identities.authenticate(f"Bearer {first}").identity.scopes == {Scope.PREDICT}
    assert identities.authenticate(f"Token {second}").identity.scopes == {Scope.TRAIN, Scope.MONITOR}


def test_a_revoked_token_is_refused_at_once_in_this_process() -> None:
    token, secret = make()
    identities.authenticate(f"Bearer {secret}")
    revoke_token(token_id=token.pk, actor="root")
    with pytest.raises(UnauthenticatedError):
        identities.authenticate(f"Bearer {secret}")


def test_an_expired_token_is_refused() -> None:
    token, secret = make(expires_in=timedelta(hours=1))
    identities.authenticate(f"Bearer {secret}")
    Token.objects.filter(pk=token.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    identities.mark_changed()
    with pytest.raises(UnauthenticatedError):
        identities.authenticate(f"Bearer {secret}")


def test_tokens_of_a_deactivated_user_are_refused(ada: User) -> None:
    _, secret = make()
    ada.is_active = False
    ada.save()
    identities.refresh()
    with pytest.raises(UnauthenticatedError):
        identities.authenticate(f"Bearer {secret}")


def test_a_tokens_own_rate_comes_before_the_setting() -> None:
    token, secret = make(predict_rate="5/min")
    known = identities.authenticate(f"Bearer {secret}")
    assert (known.predict.rate.limit, known.predict.setting) == (5, f"predict_rate of token {token.pk}")
    assert known.api.setting == "RATE_LIMIT_API"


def test_one_unreadable_rate_in_the_table_shuts_nobody_out() -> None:
    token, secret = make()
    Token.objects.filter(pk=token.pk).update(predict_rate="rubbish")
    identities.mark_changed()
    assert identities.authenticate(f"Bearer {secret}").predict.setting == "RATE_LIMIT_PREDICT"


@pytest.mark.parametrize(
    "values", [{"scopes": []}, {"scopes": ["root"]}, {"name": " "}, {"predict_rate": "x"}, {"expires_in": timedelta(0)}]
)
def test_values_that_break_a_rule_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        make(**values)
    assert not Token.objects.exists()


def test_a_token_needs_a_user() -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        make(username="nobody")


def test_making_and_revoking_are_audited_with_before_and_after() -> None:
    token, _ = make(actor="root", request_id="req-1")
    revoke_token(token_id=token.pk, actor="root")
    revoke_token(token_id=token.pk, actor="root")
    revoked, created = AuditRecord.objects.all()
    assert (created.action, created.object, created.request_id) == ("token.create", f"token:{token.pk}", "req-1")
    assert [state and state["is_revoked"] for state in (revoked.before, revoked.after)] == [False, True]


def test_the_last_use_is_written_and_never_goes_back() -> None:
    token, _ = make()
    write_last_used({str(token.pk): 2_000_000.0})
    write_last_used({str(token.pk): 1_000_000.0})
    token.refresh_from_db()
    assert token.last_used_at is not None
    assert token.last_used_at.timestamp() == 2_000_000


def test_the_command_makes_a_token_and_shows_its_secret_as_json() -> None:
    made = json.loads(
        run("create", "ada", "--name", "cli", "--scope", "predict", "--scope", "train", "--expires", "30d", "--json")
    )
    assert made["scopes"] == ["predict", "train"]
    assert identities.authenticate(f"Bearer {made['token']}").identity.token_id == str(made["id"])
    token = Token.objects.get(pk=made["id"])
    assert token.expiry is not None
    assert timedelta(days=29) < token.expiry - timezone.now() <= timedelta(days=30)


def test_the_command_lists_tokens_without_secrets_and_revokes_them() -> None:
    token, secret = make()
    assert secret not in run("list")
    assert "client" in run("list")
    assert "is revoked" in run("revoke", str(token.pk))
    assert json.loads(run("list", "--json"))[0]["state"] == "revoked"


@pytest.mark.parametrize("args", [("create", "nobody", "--name", "x", "--scope", "predict"), ("revoke", "999")])
def test_the_command_fails_with_the_reason(args: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="there is no"):
        run(*args)


@pytest.mark.parametrize("text", ["30", "d", "0d", "1y", "-1d"])
def test_a_period_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="m, h, d or w"):
        parse_period(text)


def test_the_only_table_of_tokens_is_the_gateways_own() -> None:
    names = connection.introspection.table_names()
    assert [name for name in names if name.startswith("knox")] == []
    assert "gateway_token" in names
