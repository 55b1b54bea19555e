"""Frames, header blocks and messages as bytes."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from typing import Any

import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.errors import InvalidInputError, MethodNotAllowedError, PayloadTooLargeError
from aiplatform.rpc import fields, frames
from aiplatform.rpc.calls import V2_SERVICE
from aiplatform.rpc.frames import ConnectionFault, ErrorCode, Setting, StreamFault
from aiplatform.rpc.headers import HeaderBlocks, read_head
from aiplatform.rpc.messages import message_size, unpack_message
from aiplatform.rpc.statuses import Status

PATH = f"{V2_SERVICE}ModelInfer"
PSEUDO = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", PATH.encode()), (b":authority", b"here")]
GRPC = (b"content-type", b"application/grpc")

names = st.from_regex(r"x-[a-z0-9_.-]{1,20}", fullmatch=True).filter(lambda name: not name.endswith("-bin"))
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=300)


@given(st.integers(0, 2**24 - 1), st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**31 - 1))
def test_a_frames_head_is_read_as_it_was_written(size: int, kind: int, flags: int, stream_id: int) -> None:
    word, found_flags, found_id = frames.FRAME_HEAD.unpack(frames.frame_head(kind, size, flags, stream_id))
    assert (word >> 8, word & 0xFF, found_flags, found_id) == (size, kind, flags, stream_id)


@given(st.binary(max_size=200), st.integers(0, 255), st.booleans())
def test_padding_and_priority_are_taken_off(payload: bytes, padding: int, has_priority: bool) -> None:
    flags = frames.PADDED | (frames.HAS_PRIORITY if has_priority else 0)
    padded = bytes((padding,)) + (b"prior" if has_priority else b"") + payload + b"\0" * padding
    assert frames.unpadded(padded, flags) == payload


@given(st.binary(max_size=40), st.integers(0, 255))
def test_any_padded_payload_is_read_or_refused(payload: bytes, flags: int) -> None:
    try:
        assert len(frames.unpadded(payload, flags)) <= len(payload)
    except ConnectionFault as fault:
        assert fault.code in (ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"12345", ErrorCode.FRAME_SIZE_ERROR),
        (b"\0\2\0\0\0\2", ErrorCode.PROTOCOL_ERROR),
        (b"\0\4\x80\0\0\0", ErrorCode.FLOW_CONTROL_ERROR),
        (b"\0\5\0\0\0\1", ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_settings_out_of_range_are_refused_with_the_codes_of_the_standard(payload: bytes, code: ErrorCode) -> None:
    with pytest.raises(ConnectionFault) as caught:
        frames.read_settings(payload)
    assert caught.value.code is code


def test_settings_are_read_as_written_and_unknown_ones_are_passed_over() -> None:
    written = frames.settings_frame({Setting.MAX_FRAME_SIZE: 20_000, Setting.INITIAL_WINDOW_SIZE: 0})
    assert frames.read_settings(written[9:]) == [(5, 20_000), (4, 0)]
    assert frames.read_settings(b"\xff\xff\0\0\0\1") == [(0xFFFF, 1)]


def _read(block: bytes) -> list[tuple[str, str]]:
    found: Any = Decoder().decode(block)
    return list(found)


@given(st.lists(st.tuples(names, values), max_size=12))
def test_what_is_sent_is_what_an_independent_decoder_reads(pairs: list[tuple[str, str]]) -> None:
    block = fields.ANSWER_BLOCK + b"".join(fields.field(name, value) for name, value in pairs)
    found = _read(block)
    assert found[:2] == [(":status", "200"), ("content-type", "application/grpc")]
    assert found[3:] == pairs


@given(st.text(max_size=80))
def test_an_error_message_comes_back_whatever_it_says(message: str) -> None:
    from urllib.parse import unquote

    found = dict(_read(fields.error_block(Status.NOT_FOUND, message)))
    assert found["grpc-status"] == "5"
    assert found["grpc-message"].isascii()
    assert unquote(found["grpc-message"]) == message.encode("utf-8", "replace").decode()


def test_what_is_not_grpc_is_answered_in_http() -> None:
    assert _read(fields.plain_block(415)) == [(":status", "415")]


@given(st.lists(st.lists(st.tuples(names, values), max_size=6), min_size=1, max_size=12), st.booleans())
def test_blocks_are_read_right_while_the_table_changes(requests: list[list[tuple[str, str]]], huffman: bool) -> None:
    encoder, blocks = Encoder(), HeaderBlocks()
    encoder.header_table_size = 256  # so small that entries leave it again and again
    for more in [*requests, *requests]:
        fields_sent = dict(more)
        sent = [*PSEUDO, GRPC, *((k.encode(), v.encode()) for k, v in fields_sent.items())]
        head = blocks.read(encoder.encode(sent, huffman=huffman))
        found = {k: v for k, v in head.metadata.items() if k.startswith("x-")}
        assert (head.method, found) == (PATH, fields_sent)


def test_a_block_that_repeats_is_read_once_until_the_table_changes() -> None:
    encoder, blocks = Encoder(), HeaderBlocks()
    sent = [*PSEUDO, GRPC, NeverIndexedHeaderTuple(b"authorization", b"Bearer x")]
    blocks.read(encoder.encode(sent))
    again = encoder.encode(sent)
    head = blocks.read(again)
    assert blocks.read(again) is head
    blocks.read(encoder.encode([*sent, (b"x-new", b"1")]))
    other = blocks.read(encoder.encode(sent))
    assert other is not head
    assert other.metadata == head.metadata


def test_the_same_bytes_mean_something_else_after_the_table_has_changed() -> None:
    blocks = HeaderBlocks()
    static = b"\x83\x86\x04" + bytes((len(PATH),)) + PATH.encode() + b"\x0f\x10\x10application/grpc"
    first = blocks.read(static + b"\x40\x03x-a\x011")  # indexed: entry 62
    assert first.metadata["x-a"] == "1"
    assert blocks.read(static + b"\xbe").metadata["x-a"] == "1"
    blocks.read(static + b"\x40\x03x-a\x012")
    assert blocks.read(static + b"\xbe").metadata["x-a"] == "2"


@pytest.mark.parametrize(
    "block",
    [b"\xff\xff\xff\xff\xff\xff", b"\xbf", b"\x00", b"\x00\x7f\xff", b"\x3f\xe1\xff\x03", b"\x00\x85aaaaa", b"\x80"],
    ids=["overlong", "no such entry", "cut", "cut length", "too large a table", "no huffman", "entry 0"],
)
def test_what_is_no_hpack_ends_the_connection(block: bytes) -> None:
    with pytest.raises(ConnectionFault) as caught:
        HeaderBlocks().read(block)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


@given(st.binary(max_size=300))
def test_any_block_is_read_or_refused(block: bytes) -> None:
    with contextlib.suppress(ConnectionFault, StreamFault):
        HeaderBlocks().read(block)


def test_a_list_of_headers_that_unpacks_to_much_is_refused() -> None:
    value = b"v" * 4000
    block = b"\x40\x03x-a\x7f\xa1\x1e" + value + b"\xbe" * 100
    with pytest.raises(ConnectionFault) as caught:
        HeaderBlocks().read(block)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "pairs",
    [
        PSEUDO[:2],
        [*PSEUDO, PSEUDO[0]],
        [GRPC, *PSEUDO],
        [*PSEUDO, (b":status", b"200")],
        [*PSEUDO, (b"X-Upper", b"1")],
        [*PSEUDO, (b"connection", b"close")],
        [*PSEUDO, (b"te", b"gzip")],
        [*PSEUDO, (b"x", b"a\nb")],
        [*PSEUDO, (b"", b"a")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"")],
    ],
)
def test_a_malformed_request_ends_its_stream(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(StreamFault):
        read_head(pairs)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"250m", 0.25), (b"5u", 5e-6), (b"99999999n", 0.099999999), (b"0S", 0)],
)
def test_timeouts_are_read_in_all_their_units(timeout: bytes, seconds: float) -> None:
    assert read_head([*PSEUDO, GRPC, (b"grpc-timeout", timeout)]).timeout_s == pytest.approx(seconds)


@pytest.mark.parametrize("timeout", [b"", b"1", b"-1S", b"123456789S", b"1.5S", b"1s", b"\xb2S"])
def test_a_timeout_that_is_none_is_refused(timeout: bytes) -> None:
    assert isinstance(read_head([*PSEUDO, GRPC, (b"grpc-timeout", timeout)]).refusal, InvalidInputError)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (b"application/grpc", 200), (b"application/grpc+proto", 200), (b"application/grpc;x=y", 200),
        (b"application/grpc-web", 415), (b"application/json", 415), (b"", 415),
    ],
)  # fmt: skip
def test_only_grpc_is_taken(content_type: bytes, status: int) -> None:
    assert read_head([*PSEUDO, (b"content-type", content_type)]).http_status == status


def test_metadata_is_text_or_base64_and_repeated_keys_are_joined() -> None:
    pairs = [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-b-bin", b"AP8"), (b"x-c-bin", b"AP8=")]
    metadata = read_head([*PSEUDO, GRPC, *pairs]).metadata
    assert (metadata["x-a"], metadata["x-b-bin"], metadata["x-c-bin"]) == ("1,2", b"\x00\xff", b"\x00\xff")
    assert isinstance(read_head([*PSEUDO, GRPC, (b"x-bin", b"?")]).refusal, InvalidInputError)


@given(st.binary(max_size=5000))
def test_packed_messages_come_back_in_both_encodings(message: bytes) -> None:
    assert unpack_message(gzip.compress(message), "gzip", 5000) == message
    assert unpack_message(zlib.compress(message), "deflate", 5000) == message


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_any_packed_bytes_are_read_or_refused(packed: bytes, encoding: str) -> None:
    with contextlib.suppress(InvalidInputError, PayloadTooLargeError):
        unpack_message(packed, encoding, 1000)


def test_a_bomb_is_refused_before_it_is_unpacked_whole() -> None:
    with pytest.raises(PayloadTooLargeError):
        unpack_message(zlib.compress(b"\0" * 50_000_000), "deflate", 1000)
    with pytest.raises(InvalidInputError):
        unpack_message(gzip.compress(b"abc")[:-3], "gzip", 1000)
    with pytest.raises(InvalidInputError):
        unpack_message(b"abc", "identity", 1000)
    with pytest.raises(MethodNotAllowedError):
        unpack_message(b"abc", "snappy", 1000)


def test_a_messages_prefix_is_held_to_its_rules() -> None:
    assert message_size(b"\x01\0\0\1\0", 1000) == 256
    with pytest.raises(PayloadTooLargeError):
        message_size(b"\x00\xff\xff\xff\xff", 1000)
    with pytest.raises(InvalidInputError):
        message_size(b"\x02\0\0\0\0", 1000)
