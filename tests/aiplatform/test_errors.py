"""Errors keep their class, details and status on their way between services."""

from __future__ import annotations

import json

import pytest

from aiplatform.errors import (
    ERRORS_BY_CODE,
    ArtifactCorruptError,
    LimitError,
    NotFoundError,
    PlatformError,
    QueueFullError,
    RateLimitedError,
    UnavailableError,
    error_from_payload,
)


@pytest.mark.parametrize("error_class", ERRORS_BY_CODE.values())
def test_every_error_is_rebuilt_as_the_same_class(error_class: type[PlatformError]) -> None:
    sent = error_class("what happened", rule="r", number=3)
    received = error_from_payload(sent.http_status, json.loads(json.dumps(sent.payload())))
    assert type(received) is error_class
    assert (received.message, received.details) == (sent.message, sent.details)


def test_every_code_belongs_to_one_class() -> None:
    codes = [cls.code for cls in ERRORS_BY_CODE.values()]
    assert len(codes) == len(set(codes))
    assert ERRORS_BY_CODE["rate_limited"] is RateLimitedError


def test_a_limit_error_names_limit_value_setting_and_when_to_retry() -> None:
    error = QueueFullError("full", limit="queue", value=0, setting="QUEUE_SIZE", retry_after_s=2.5)
    rebuilt = error_from_payload(503, error.payload())
    assert isinstance(rebuilt, QueueFullError)
    assert isinstance(rebuilt, LimitError)
    assert rebuilt.details == {"limit": "queue", "value": 0, "setting": "QUEUE_SIZE", "retry_after_s": 2.5}
    assert rebuilt.retry_after_s == 2.5


@pytest.mark.parametrize("name", ["message", "self", "limit", "code"])
def test_details_may_have_any_name(name: str) -> None:
    body = {"error": "bad", "code": "invalid_input", "details": {name: ["required"]}}
    assert error_from_payload(400, body).details == {name: ["required"]}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, None, NotFoundError),
        (503, "<html>", UnavailableError),
        (502, {}, PlatformError),
        (500, {"code": "artifact_corrupt"}, ArtifactCorruptError),
        (429, {"code": "from_a_newer_version"}, RateLimitedError),
        (404, {"error": None, "details": ["no mapping"]}, NotFoundError),
    ],
)
def test_answers_without_a_known_code_fall_back_to_their_status(
    status: int, body: object, expected: type[PlatformError]
) -> None:
    error = error_from_payload(status, body)
    assert type(error) is expected
    assert error.message
