"""One HTTP/2 connection of the gRPC server: takes frames apart and gives whole messages to the application.

What unary calls need of RFC 9113, and no more: nothing is pushed, priorities are passed over. There is no task
and no queue: frames are read where they lie, and a call is answered from within the call that its
last byte makes, or when the engine is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiplatform.errors import PlatformError
from aiplatform.rpc import frames
from aiplatform.rpc.calls import CallApplication, answer_later
from aiplatform.rpc.control import (
    CONNECTION_WINDOW,
    MAX_BLOCK_BYTES,
    MAX_BLOCK_FRAMES,
    MAX_FRAME_BYTES,
    MAX_STREAMS,
    SMALL_FRAME_BYTES,
    STREAM_WINDOW,
    ControlledConnection,
    OpenBlock,
)
from aiplatform.rpc.fields import plain_block
from aiplatform.rpc.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    HAS_PRIORITY,
    HEAD_SIZE,
    HEADERS,
    PADDED,
    PREFACE,
    SETTINGS,
    STREAM_BITS,
    ConnectionFault,
    ErrorCode,
    StreamFault,
)
from aiplatform.rpc.headers import HeaderBlocks
from aiplatform.rpc.messages import PREFIX_SIZE, too_much_at_once, unpack_message
from aiplatform.rpc.stream import Stream


@dataclass(frozen=True, kw_only=True)
class Service:
    """What connections share."""

    application: CallApplication
    max_message_bytes: int

    @property
    def max_kept_bytes(self) -> int:
        """Return how much of messages that are not whole one connection may keep here."""
        return 2 * self.max_message_bytes + CONNECTION_WINDOW


class Connection(ControlledConnection):
    """A client's connection. `on_lost` is called once when it is closed."""

    def __init__(self, service: Service, on_lost: Callable[[Connection], None]) -> None:
        super().__init__(max_unsent_bytes=service.max_kept_bytes)
        self._service = service
        self._on_lost = on_lost
        self._blocks = HeaderBlocks()
        self._rest = bytearray()  # of a frame that is not whole
        self._needed = len(PREFACE)
        self._has_preface = False
        self._unacknowledged = 0  # bytes of DATA that are not given back to the connection's window

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up all calls."""
        super().connection_lost(exc)
        self._on_lost(self)

    # --- the transport's side ---------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take the frames that are whole; keep the rest."""
        if self._is_closed:
            return
        self._read_s = self._clock()
        if self._rest or not self._has_preface:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        try:
            used = self._take_frames(data)
        except ConnectionFault as fault:
            self._give_up(fault)
            return
        if used < len(data):
            self._rest += data[used:]

    # --- answers ----------------------------------------------------------------------------------

    def send_answer(self, stream: Stream, body: bytes, trailers: bytes) -> None:
        """Send a call's answer."""
        if self._is_closed:
            return
        try:
            if self._sender.answer(stream.stream_id, stream.window, body, trailers):
                self._forget(stream.stream_id)
        except StreamFault as fault:
            self._reset(stream.stream_id, fault)

    def send_end(self, stream: Stream, block: bytes) -> None:
        """Send headers that are the whole answer, before the request is whole or after."""
        if self._is_closed:
            return
        self._sender.end(stream.stream_id, block)
        if not stream.is_whole:  # what is still to come is not wanted
            self._sender.write(frames.reset_frame(stream.stream_id, ErrorCode.NO_ERROR))
        self._forget(stream.stream_id)

    # --- frames -----------------------------------------------------------------------------------

    def _take_frames(self, data: bytes) -> int:
        """Take whole frames from the beginning of some bytes; return how many bytes they were."""
        position, end = 0, len(data)
        if not self._has_preface:
            position = self._take_preface(data)
        while end - position >= HEAD_SIZE:
            word, flags, stream_id = FRAME_HEAD.unpack_from(data, position)
            kind, after = word & 0xFF, position + HEAD_SIZE + (word >> 8)
            if after > end:
                self._check_size(word >> 8)
                self._needed = after - position
                return position
            if kind == DATA and self._block is None:
                self._take_data(data[position + HEAD_SIZE : after], flags, stream_id & STREAM_BITS)
            else:
                self._take_other(kind, data[position + HEAD_SIZE : after], flags, stream_id & STREAM_BITS)
            position = after
        self._needed = HEAD_SIZE
        return position

    def _take_preface(self, data: bytes) -> int:
        if not data.startswith(PREFACE):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is a gRPC port: HTTP/2 with prior knowledge")
        self._has_preface = True
        return len(PREFACE)

    def _check_size(self, size: int) -> None:
        if size > MAX_FRAME_BYTES:
            raise ConnectionFault(
                ErrorCode.FRAME_SIZE_ERROR, f"a frame of {size} bytes; the limit is {MAX_FRAME_BYTES}"
            )

    def _take_other(self, kind: int, payload: bytes, flags: int, stream_id: int) -> None:
        self._check_size(len(payload))
        if not self._has_settings and kind != SETTINGS:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is SETTINGS")
        if self._block is not None and kind != CONTINUATION:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        if kind == HEADERS:
            self._take_headers(payload, flags, stream_id)
        elif kind == CONTINUATION:
            self._take_continuation(payload, flags, stream_id)
        else:
            self._take_control(kind, payload, flags, stream_id)

    # --- requests ---------------------------------------------------------------------------------

    def _take_headers(self, payload: bytes, flags: int, stream_id: int) -> None:
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a request on stream {stream_id}")
        if flags & (PADDED | HAS_PRIORITY):
            payload = frames.unpadded(payload, flags)
        if flags & END_HEADERS:
            self._take_block(payload, flags, stream_id)
            return
        self._check_block(len(payload))
        self._block = OpenBlock(stream_id, flags, bytearray(payload), self._read_s)

    def _take_continuation(self, payload: bytes, flags: int, stream_id: int) -> None:
        block = self._block
        if block is None or stream_id != block.stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        block.content += payload
        block.frames += 1
        self._check_block(len(block.content), block.frames)
        if flags & END_HEADERS:
            self._block = None
            self._take_block(bytes(block.content), block.flags, stream_id)

    def _check_block(self, size: int, count: int = 1) -> None:
        if size > MAX_BLOCK_BYTES or count > MAX_BLOCK_FRAMES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"a header block of {size} bytes in {count} frames")

    def _take_block(self, block: bytes, flags: int, stream_id: int) -> None:
        if stream_id <= self._last_id:
            self._take_trailers(block, flags, stream_id)
            return
        self._last_id = stream_id
        self._flood.calls += 1
        try:
            head = self._blocks.read(block)
            if self._is_refusing or len(self._streams) >= MAX_STREAMS:
                raise StreamFault(ErrorCode.REFUSED_STREAM, "no more calls here: they may be sent again elsewhere")
        except StreamFault as fault:
            self._flood.count_reset()
            self._reset(stream_id, fault)
            return
        stream = self._streams[stream_id] = Stream(self, stream_id, head, self._sender.initial_window)
        if flags & END_STREAM:
            stream.is_whole = True
        if head.http_status != 200:
            stream.is_over = True
            self.send_end(stream, plain_block(head.http_status))
        elif head.refusal is not None:
            stream.fail(head.refusal)
        elif stream.is_whole:
            self._start(stream)

    def _take_trailers(self, block: bytes, flags: int, stream_id: int) -> None:
        """Take what ends a request; gRPC's clients send none."""
        self._blocks.skip(block)
        self._flood.count_frame()
        stream = self._streams.get(stream_id)
        if stream is None:
            return  # answered before it was whole, or given up
        if stream.is_whole or not flags & END_STREAM:
            self._reset(stream_id, StreamFault(ErrorCode.PROTOCOL_ERROR, "headers within a request"))
            return
        stream.is_whole = True
        self._start(stream)

    def _take_data(self, payload: bytes, flags: int, stream_id: int) -> None:
        size = len(payload)
        self._check_size(size)
        self._unacknowledged += size
        if self._unacknowledged > CONNECTION_WINDOW // 2:
            self._sender.write(frames.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        stream = self._streams.get(stream_id)
        if stream is None or stream.is_whole:
            self._take_stray(size, stream, stream_id)
            return
        if flags & PADDED:
            payload = frames.unpadded(payload, flags & PADDED)
        stream.is_whole = bool(flags & END_STREAM)
        try:
            stream.add(payload, self._service.max_message_bytes)
            if not stream.is_whole:
                self._keep(stream, len(payload), size)
                return
        except PlatformError as error:
            stream.fail(error)
            return
        self._start(stream)

    def _take_stray(self, size: int, stream: Stream | None, stream_id: int) -> None:
        """Take DATA that belongs to no request: to one that was answered early, most likely."""
        if stream_id > self._last_id or not stream_id & 1 or not self._has_settings:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"DATA on stream {stream_id}, which is idle")
        if stream is not None:
            self._reset(stream_id, StreamFault(ErrorCode.STREAM_CLOSED, "DATA behind the end"))
        if not size:
            self._flood.count_frame()

    def _keep(self, stream: Stream, kept: int, size: int) -> None:
        """Keep part of a message, and let the rest come."""
        if kept < SMALL_FRAME_BYTES:  # each is an object here, however little it brings
            self._flood.count_frame()
        else:
            self._flood.pieces += 1
        stream.kept_bytes += kept
        self._kept_bytes += kept
        if self._kept_bytes > self._service.max_kept_bytes:
            raise too_much_at_once(self._service.max_kept_bytes)
        stream.unacknowledged += size
        if stream.unacknowledged > STREAM_WINDOW // 2:
            self._sender.write(frames.window_update(stream.stream_id, stream.unacknowledged))
            stream.unacknowledged = 0

    def _start(self, stream: Stream) -> None:
        """Have a whole request answered."""
        self._kept_bytes -= stream.kept_bytes
        stream.kept_bytes = 0
        try:
            message = stream.whole()
            if message[0]:
                answer_later(stream, self._unpack(stream, message))
                return
            stream.body = message[PREFIX_SIZE:]
            self._service.application(stream)
        except PlatformError as error:
            stream.fail(error)
        except Exception as error:  # noqa: BLE001 - the last line of defence: a client always gets an answer
            stream.crash(error)

    async def _unpack(self, stream: Stream, message: bytes) -> None:
        limit = self._service.max_message_bytes
        stream.body = await asyncio.to_thread(unpack_message, message[PREFIX_SIZE:], stream.head.encoding, limit)
        self._service.application(stream)
