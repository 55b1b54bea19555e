"""What both transports promise alike: identity, request id, names, errors, signatures."""

from __future__ import annotations

import httpx
import pytest
from django.conf import settings
from django.db import transaction

from aiplatform.context import add_request_fields, begin_request, describe_request
from aiplatform.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OpenTransactionError,
    PlatformError,
    QueueFullError,
    UnauthenticatedError,
)
from aiplatform.http.client import path_segment
from tests.aiplatform.urls import Echo
from tests.contracts.conftest import NewClient

pytestmark = pytest.mark.urls("tests.aiplatform.urls")


def test_a_message_arrives_with_its_identity_and_request_id(new_client: NewClient) -> None:
    begin_request("req-1")
    answer = new_client().post("/internal/test/echo", Echo(text="hällo ✓"), Echo)
    assert (answer.text, answer.username, answer.request_id) == ("hällo ✓", "ada", "req-1")


def test_a_call_leaves_the_callers_log_context_as_it_was(new_client: NewClient) -> None:
    begin_request("req-1")
    describe_request(user="ada", run="r7")
    new_client().post("/internal/test/echo", Echo(text="x"), Echo)
    assert add_request_fields(None, "info", {}) == {"request_id": "req-1", "user": "ada", "run": "r7"}


@pytest.mark.parametrize("name", ["digits", "a b", "ä", "100%", "a+b", "a?b#c", "x;y", "~a-._", "%41"])
def test_a_name_of_any_kind_is_one_segment_and_its_signature_fits(new_client: NewClient, name: str) -> None:
    assert new_client().get(f"/internal/test/echo/{path_segment(name)}", Echo).text == name


def test_a_query_is_signed_and_arrives(new_client: NewClient) -> None:
    answer = new_client().get("/internal/test/echo", Echo, query={"a": "x y&z", "b": "ä"})
    assert httpx.QueryParams(answer.query) == httpx.QueryParams({"a": "x y&z", "b": "ä"})


def test_errors_come_back_as_their_own_class_with_details(new_client: NewClient) -> None:
    with pytest.raises(ConflictError, match="it has moved on") as conflict:
        new_client().get("/internal/test/conflict", Echo)
    assert conflict.value.details == {"generation": 3}
    with pytest.raises(QueueFullError) as full:
        new_client().get("/internal/test/full", Echo)
    assert full.value.retry_after_s == 4


def test_a_message_that_does_not_fit_is_invalid_input(new_client: NewClient) -> None:
    with pytest.raises(InvalidInputError, match="Echo"):
        new_client().post("/internal/test/echo", {"text": 5}, Echo)


def test_a_path_that_is_not_there_is_not_found(new_client: NewClient) -> None:
    with pytest.raises(NotFoundError):
        new_client().get("/internal/test/nowhere", Echo)


def test_an_answer_that_is_no_message_is_the_services_fault_and_not_the_callers(new_client: NewClient) -> None:
    with pytest.raises(PlatformError) as caught:
        new_client().get("/internal/test/page", Echo)
    assert not isinstance(caught.value, InvalidInputError)
    assert caught.value.http_status >= 500


@pytest.mark.parametrize("number", [0, 1])
def test_every_configured_secret_is_accepted(new_client: NewClient, number: int) -> None:
    assert new_client(secret=settings.INTERNAL_SECRETS[number]).get("/internal/test/echo", Echo).username == "ada"


def test_an_unknown_secret_is_refused(new_client: NewClient) -> None:
    with pytest.raises(UnauthenticatedError, match="INTERNAL_SECRETS"):
        new_client(secret="another-secret-of-32-characters!!").get("/internal/test/echo", Echo)


def test_an_unsigned_request_is_refused(transport: httpx.Client) -> None:
    response = transport.post("/internal/test/echo", json={"text": "x"})
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


def test_a_call_inside_an_open_transaction_raises_and_sends_nothing(new_client: NewClient) -> None:
    with transaction.atomic(), pytest.raises(OpenTransactionError, match="'default'"):
        new_client().get("/internal/test/echo", Echo)
    assert new_client().get("/internal/test/echo", Echo).has_open_transaction is False
