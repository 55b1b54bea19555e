"""Which heads the lane reads, and that it leaves all doubtful ones to gunicorn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.http.lane.head import MAX_FIELDS, parse_head, split_head

PLAIN = (
    b"POST /v1/models/digits:predict HTTP/1.1",
    b"Host: localhost:8000",
    b"Content-Type: application/json",
    b"Content-Length: 12",
)


def head(*more: bytes, without: bytes = b"", line: bytes = PLAIN[0]) -> bytes:
    fields = [field for field in PLAIN[1:] if not (without and field.startswith(without))]
    return b"\r\n".join([line, *fields, *more])


def test_a_plain_head_is_read() -> None:
    found = parse_head(head(b"X-Odd:  two  words \t"))
    assert found is not None
    assert (found.path, found.content_length) == ("/v1/models/digits:predict", 12)
    assert found.text(b"content-type") == "application/json"
    assert found.text(b"x-odd") == "two  words"
    assert found.text(b"authorization") == ""


@pytest.mark.parametrize(
    "raw",
    [
        head(line=b"GET /v1/models/digits HTTP/1.1"),
        head(line=b"POST /v1/models/digits:predict HTTP/1.0"),
        head(line=b"POST /v1/models/digits:predict?a=b HTTP/1.1"),
        head(line=b"POST /v1/models/di%67its:predict HTTP/1.1"),
        head(line=b"POST http://h/v1/models/digits:predict HTTP/1.1"),
        head(line=b"POST  /v1/models/digits:predict HTTP/1.1"),
        head(line=b"POST /v1/models/digits:predict HTTP/1.1 "),
        head(without=b"Host"),
        head(without=b"Content-Length"),
        head(b"Content-Length: 12"),
        head(b"content-length: 13"),
        head(b"Host: other"),
        head(b"Authorization: Bearer a", b"authorization: Bearer b"),
        head(b"Content-Length: +12", without=b"Content-Length"),
        head(b"Content-Length: 12, 12", without=b"Content-Length"),
        head(b"Content-Length: 0x0c", without=b"Content-Length"),
        head(b"Content-Length: \xd9\xa3", without=b"Content-Length"),
        head(b"Content-Length:", without=b"Content-Length"),
        head(b"Transfer-Encoding: chunked"),
        head(b"Transfer-Encoding : chunked"),
        head(b"Transfer_Encoding: chunked"),
        head(b"Expect: 100-continue"),
        head(b"Upgrade: h2c"),
        head(b"Connection: close"),
        head(b"Connection: keep-alive, upgrade"),
        head(b"X: a\rb"),
        head(b"X: a\nTransfer-Encoding: chunked"),
        head(b"X: a\x00b"),
        head(b" folded: onto the line before"),
        head(b"no colon"),
        head(b": no name"),
        head(b"X Y: a space in the name"),
        head(*[b"X-%d: y" % number for number in range(MAX_FIELDS)]),
    ],
)
def test_a_doubtful_head_is_left_to_gunicorn(raw: bytes) -> None:
    assert parse_head(raw) is None


@given(st.binary(max_size=80), st.integers(0, 3))
def test_bytes_from_anywhere_never_crash_and_never_hide_a_second_length(noise: bytes, at: int) -> None:
    lines = list(PLAIN)
    lines.insert(at + 1, noise)
    found = parse_head(b"\r\n".join(lines))
    if found is not None:
        assert found.content_length == 12
        assert not set(found.headers) & {b"transfer-encoding", b"expect", b"upgrade"}


VARYING = frozenset({b"x-request-id", b"x-platform-signature"})


def test_what_varies_is_split_off_where_it_stands_last() -> None:
    raw = head(b"x-request-id: r1", b"x-platform-signature: t=1,v1=ab")
    split = split_head(raw, VARYING)
    assert split == (head() + b"\r\n", {b"x-request-id": b"r1", b"x-platform-signature": b"t=1,v1=ab"})


@pytest.mark.parametrize(
    "more",
    [
        (),
        (b"X-Request-Id: r1",),  # as people write it: read like any other
        (b"x-request-id: r1", b"accept: a"),
        (b"x-request-id: r1", b"x-request-id: r2"),
        (b"x-request-id: r 1",),
        (b"x-request-id: r\xe9",),
        (b"x-request-id:r1",),
        (b"x-platform-signature: t=1,v1=ab",),
    ],
)
def test_any_other_head_is_whole(more: tuple[bytes, ...]) -> None:
    assert split_head(head(*more), VARYING) is None
