"""Messages to JSON and back."""

from __future__ import annotations

import pytest

from aiplatform.contracts.columns import Numbers
from aiplatform.contracts.inference import DeployVersion, TrafficShare
from aiplatform.errors import InvalidInputError
from aiplatform.http.codec import PACKED_TYPE, decode_message, encode_message, encode_packed

ORDER = DeployVersion(endpoint="a", model="m", reference="1", traffic=(TrafficShare(version=1, weight=100),))


def test_a_message_comes_back_equal() -> None:
    assert decode_message(encode_message(ORDER), DeployVersion) == ORDER


def test_fields_of_a_newer_sender_are_ignored_and_missing_optional_ones_filled() -> None:
    raw = b'{"endpoint":"a","model":"m","reference":"1","from_the_future":1}'
    assert decode_message(raw, DeployVersion).traffic == ()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"endpoint": "\xff"}', "not JSON"),
        (b'{"endpoint":"a","model":"m"}', "reference"),
        (b'{"endpoint":1,"model":"m","reference":"1"}', "endpoint"),
        (b"[]", "DeployVersion"),
    ],
)
def test_what_does_not_fit_is_invalid_input_that_names_it(raw: bytes, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        decode_message(raw, DeployVersion)


def test_a_packed_message_comes_back_equal_and_its_bytes_are_not_inflated() -> None:
    column = Numbers.pack(range(1000))
    raw = encode_packed(column)
    assert len(raw) < 8000 + 40 < len(encode_message(column))
    assert decode_message(raw, Numbers, content_type=PACKED_TYPE) == column
    assert decode_message(encode_message(column), Numbers) == column


@pytest.mark.parametrize(
    ("raw", "told"), [(b"", "not msgpack"), (b"\xc1", "not msgpack"), (b"{}", "Numbers|msgpack"), (b"\x90", "Numbers")]
)
def test_a_packed_message_that_does_not_fit_is_invalid_input(raw: bytes, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        decode_message(raw, Numbers, content_type=PACKED_TYPE)
