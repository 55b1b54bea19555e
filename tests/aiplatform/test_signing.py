"""Signatures cover method, path, query, body, identity and time."""

from __future__ import annotations

from typing import Any

import pytest

from aiplatform.errors import UnauthenticatedError
from aiplatform.http.signing import MAX_AGE_S, canonical_target, sign_request, verify_request

REQUEST: dict[str, Any] = {"method": "POST", "target": "/internal/x?a=1", "body": b"{}", "identity": '{"username":"a"}'}
NOW_S = 1_000_000.0


def test_what_was_signed_is_verified() -> None:
    verify_request(["s"], sign_request("s", now_s=NOW_S, **REQUEST), now_s=NOW_S + 1, **REQUEST)


@pytest.mark.parametrize(
    "change", [{"method": "PUT"}, {"target": "/internal/x?a=2"}, {"body": b"[]"}, {"identity": '{"username":"root"}'}]
)
def test_any_change_is_refused(change: dict[str, Any]) -> None:
    header = sign_request("s", now_s=NOW_S, **REQUEST)
    with pytest.raises(UnauthenticatedError, match="does not match"):
        verify_request(["s"], header, now_s=NOW_S, **{**REQUEST, **change})


def test_every_secret_verifies_so_that_they_rotate() -> None:
    old, new = sign_request("old", now_s=NOW_S, **REQUEST), sign_request("new", now_s=NOW_S, **REQUEST)
    for header in (old, new):
        verify_request(["new", "old"], header, now_s=NOW_S, **REQUEST)
    with pytest.raises(UnauthenticatedError):
        verify_request(["new"], old, now_s=NOW_S, **REQUEST)
    with pytest.raises(UnauthenticatedError):
        verify_request([], new, now_s=NOW_S, **REQUEST)


@pytest.mark.parametrize("skew_s", [-MAX_AGE_S - 1, MAX_AGE_S + 1])
def test_an_old_or_future_signature_is_refused(skew_s: float) -> None:
    header = sign_request("s", now_s=NOW_S, **REQUEST)
    with pytest.raises(UnauthenticatedError, match="clocks"):
        verify_request(["s"], header, now_s=NOW_S + skew_s, **REQUEST)


@pytest.mark.parametrize(
    "header",
    ["", "t=,v1=a", "t=x,v1=a", "t=1", "v1=a", "nonsense", "t=²,v1=a", "t=" + "9" * 5000 + ",v1=a", "t=-1,v1=a"],
)
def test_a_malformed_signature_is_refused_and_nothing_else(header: str) -> None:
    with pytest.raises(UnauthenticatedError):
        verify_request(["s"], header, now_s=NOW_S, **REQUEST)


def test_the_target_has_a_question_mark_only_with_a_query() -> None:
    assert canonical_target("/a b", "") == "/a b"
    assert canonical_target("/a", "q=%20") == "/a?q=%20"
