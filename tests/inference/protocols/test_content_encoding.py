"""gzip and deflate: bounded, strict, and only where the caller accepts it."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.errors import InvalidInputError, PayloadTooLargeError
from inference.protocols.content_encoding import choose_encoding, pack_answer, unpack_body
from tests.inference.protocols.test_round_trips import patient

LIMIT = 1000


@patient
@given(st.binary(max_size=LIMIT), st.sampled_from(["gzip", "deflate"]))
def test_what_was_packed_is_unpacked(body: bytes, encoding: str) -> None:
    assert unpack_body(pack_answer(body, encoding), encoding.upper(), limit_bytes=LIMIT) == body


@patient
@given(st.binary(max_size=80), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_unpacked_or_refused(body: bytes, encoding: str) -> None:
    try:
        unpack_body(body, encoding, limit_bytes=LIMIT)
    except InvalidInputError as error:
        assert "not valid" in error.message


def test_a_bomb_is_refused_with_the_limit_before_it_unpacks() -> None:
    bomb = gzip.compress(bytes(100_000_000), 9)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLargeError, match="1000 bytes") as caught:
            unpack_body(bomb, "gzip", limit_bytes=LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.details["setting"] == "MAX_BODY_BYTES"
    assert unpack_body(gzip.compress(bytes(LIMIT)), "gzip", limit_bytes=LIMIT) == bytes(LIMIT)


@pytest.mark.parametrize(
    ("body", "encoding", "rule"),
    [
        (b"", "gzip", "too early"),
        (gzip.compress(b"text")[:-3], "gzip", "too early"),
        (gzip.compress(b"text") + b"more", "gzip", "follows its end"),
        (gzip.compress(b"text")[:-8] + bytes(8), "gzip", "not valid gzip"),
        (b"text", "deflate", "not valid deflate"),
        (zlib.compress(b"text")[2:-4], "deflate", "not valid deflate"),
        (b"text", "br", "must be gzip, deflate or identity, not 'br'"),
        (b"text", "gzip, gzip", "not 'gzip, gzip'"),
    ],
)
def test_broken_data_is_told_the_rule(body: bytes, encoding: str, rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        unpack_body(body, encoding, limit_bytes=LIMIT)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("GZIP, Deflate", "gzip"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0", ""),
        ("*", "gzip"),
        ("*;q=0", ""),
        ("identity", ""),
        ("identity, gzip;q=0.5", ""),
        ("br", ""),
        ("gzip;q=nonsense", ""),
        ("gzip;q=nan", ""),
        (",;,=,;q=", ""),
    ],
)
def test_the_callers_preference_decides(accepted: str, encoding: str) -> None:
    assert choose_encoding(accepted) == encoding
