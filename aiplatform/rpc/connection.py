"""One HTTP/2 connection of the gRPC server: takes frames apart and gives whole messages to the application.

What unary calls need of RFC 9113, and no more: nothing is pushed, priorities are passed over. There is no task
and no queue: frames are read where they lie, and a call is answered from within the call that its
last byte makes, or when the engine is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from aiplatform.errors import DeadlineExceededError, PlatformError
from aiplatform.rpc import frames
from aiplatform.rpc.calls import CallApplication, answer_later
from aiplatform.rpc.fields import plain_block
from aiplatform.rpc.flood import FloodGuard
from aiplatform.rpc.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    GOAWAY,
    HAS_PRIORITY,
    HEAD_SIZE,
    HEADERS,
    LARGEST_WINDOW,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_BITS,
    WINDOW_UPDATE,
    ConnectionFault,
    ErrorCode,
    Setting,
    StreamFault,
)
from aiplatform.rpc.headers import MAX_HEADER_BYTES, HeaderBlocks
from aiplatform.rpc.messages import PREFIX_SIZE, too_much_at_once, unpack_message
from aiplatform.rpc.sending import Sender, widened
from aiplatform.rpc.stream import Stream

MAX_STREAMS = 1024
MAX_FRAME_BYTES = 128 * 1024
MAX_BLOCK_BYTES, MAX_BLOCK_FRAMES = 32 * 1024, 16  # of a header block as packed, with its CONTINUATIONs
STREAM_WINDOW = 1024 * 1024
CONNECTION_WINDOW = 16 * 1024 * 1024
HANDSHAKE_S = 10.0  # for the preface, and for a header block to come whole
STALLED_S = 30.0  # nothing came of a request, or was taken of an answer, that is not whole
REQUEST_TIME_S = 300.0  # for a request to come whole, however much comes meanwhile
IDLE_PING_S = 60.0  # after that a quiet client is asked whether it lives
PING_TIME_S = 20.0
DRAIN_PING_S = 1.0  # how long a client has to learn of the end before its new calls are refused
LINGER_S = 1.0  # for the client to close by itself, so that nothing on its way to it is lost

_GREETING = frames.settings_frame(
    {
        Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
        Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        Setting.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
        Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_BYTES,
    }
) + frames.window_update(0, CONNECTION_WINDOW - frames.DEFAULT_WINDOW)
_DRAIN_PING = b"draining"
_ALIVE_PING = b"anybody?"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Service:
    """What connections share."""

    application: CallApplication
    max_message_bytes: int

    @property
    def max_kept_bytes(self) -> int:
        """Return how much of messages that are not whole one connection may keep here."""
        return 2 * self.max_message_bytes + CONNECTION_WINDOW


class _OpenBlock:
    """A header block that is not whole."""

    __slots__ = ("began_s", "content", "flags", "frames", "stream_id")

    def __init__(self, stream_id: int, flags: int, content: bytearray, began_s: float) -> None:
        self.stream_id = stream_id
        self.flags = flags
        self.content = content
        self.frames = 1
        self.began_s = began_s


class Connection(asyncio.Protocol):
    """`on_lost` is called once when it is closed."""

    def __init__(self, service: Service, on_lost: Callable[[Connection], None]) -> None:
        self._service = service
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._blocks = HeaderBlocks()
        self._streams: dict[int, Stream] = {}
        self._flood = FloodGuard(self._clock)
        self._rest = bytearray()  # of a frame that is not whole
        self._needed = len(PREFACE)
        self._has_preface = self._has_settings = False
        self._block: _OpenBlock | None = None
        self._last_id = 0
        self._unacknowledged = 0  # bytes of DATA that are not given back to the connection's window
        self._kept_bytes = 0
        self._pinged_s = 0.0
        self._is_leaving = self._is_refusing = self._is_closed = False
        self.began_s = self._read_s = self._clock()
        self._others: dict[int, Callable[[bytes, int, int], None]] = {
            PRIORITY: self._take_priority,
            RST_STREAM: self._take_reset,
            SETTINGS: self._take_settings,
            PUSH_PROMISE: self._refuse_push,
            PING: self._take_ping,
            GOAWAY: self._take_goaway,
            WINDOW_UPDATE: self._take_window_update,
            CONTINUATION: self._take_continuation,
        }

    # --- the transport's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._sender = Sender(self._transport, on_end=self._forget, clock=self._clock)
        self._sender.write(_GREETING)

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

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up all calls."""
        self._is_closed = True
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.cancel()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not take its answers."""
        self._sender.is_paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._sender.is_paused = False
        self._transport.resume_reading()
        self._sender.go_on()

    # --- answers ----------------------------------------------------------------------------------

    def send_answer(self, stream: Stream, body: bytes, trailers: bytes) -> None:
        """Send a call's answer."""
        if not self._is_closed and self._sender.answer(stream.stream_id, stream.window, body, trailers):
            self._forget(stream.stream_id)

    def send_end(self, stream: Stream, block: bytes) -> None:
        """Send headers that are the whole answer, before the request is whole or after."""
        if self._is_closed:
            return
        self._sender.end(stream.stream_id, block)
        if not stream.is_whole:  # what is still to come is not wanted
            self._sender.write(frames.reset_frame(stream.stream_id, ErrorCode.NO_ERROR))
        self._forget(stream.stream_id)

    def _forget(self, stream_id: int) -> None:
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            return
        self._kept_bytes -= stream.kept_bytes
        if self._is_refusing and not self._streams:
            self._linger()

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
            return
        if kind != CONTINUATION:
            self._flood.count_frame(self._calls)
        take = self._others.get(kind)
        if take is None:
            return  # an extension
        try:
            take(payload, flags, stream_id)
        except StreamFault as fault:
            self._reset(stream_id, fault)

    @property
    def _calls(self) -> int:
        return (self._last_id + 1) // 2

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
        self._block = _OpenBlock(stream_id, flags, bytearray(payload), self._read_s)

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
        try:
            head = self._blocks.read(block)
        except StreamFault as fault:
            self._last_id = stream_id
            self._flood.count_reset(self._calls)
            self._reset(stream_id, fault)
            return
        if self._is_refusing:
            return  # above what the last GOAWAY promised: the client knows that it may ask elsewhere
        self._last_id = stream_id
        if len(self._streams) >= MAX_STREAMS:
            self._reset(stream_id, StreamFault(ErrorCode.REFUSED_STREAM, "too many streams"))
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
        self._flood.count_frame(self._calls)
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
            self._flood.count_frame(self._calls)

    def _keep(self, stream: Stream, kept: int, size: int) -> None:
        """Keep part of a message, and let the rest come."""
        if not kept:
            self._flood.count_frame(self._calls)
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

    # --- other frames -----------------------------------------------------------------------------

    def _take_priority(self, payload: bytes, flags: int, stream_id: int) -> None:
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY of the connection")
        if len(payload) != 5:
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes")

    def _take_reset(self, payload: bytes, flags: int, stream_id: int) -> None:
        frames.read_number(payload, "RST_STREAM")
        self._check_begun(stream_id)
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        self._sender.forget(stream_id)
        self._forget(stream_id)
        self._flood.count_reset(self._calls)
        stream.cancel()

    def _take_settings(self, payload: bytes, flags: int, stream_id: int) -> None:
        self._check_of_connection(stream_id)
        self._has_settings = True
        if flags & ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            return
        for name, value in frames.read_settings(payload):
            if name == Setting.MAX_FRAME_SIZE:
                self._sender.change_frame_size(value)
            elif name == Setting.INITIAL_WINDOW_SIZE:
                self._change_windows(value)
        self._sender.write(frames.SETTINGS_ACK)

    def _change_windows(self, size: int) -> None:
        change = self._sender.change_initial_window(size)
        for stream in self._streams.values():
            stream.window += change
            if stream.window > LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")
        self._sender.go_on()

    def _refuse_push(self, payload: bytes, flags: int, stream_id: int) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client does not push")

    def _take_ping(self, payload: bytes, flags: int, stream_id: int) -> None:
        self._check_of_connection(stream_id)
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
        if not flags & ACK:
            self._sender.write(frames.ping_frame(payload, is_ack=True))
        elif payload == _DRAIN_PING and self._is_leaving:
            self._refuse_new_calls()

    def _take_goaway(self, payload: bytes, flags: int, stream_id: int) -> None:
        self._check_of_connection(stream_id)  # the client will close when it has its answers

    def _take_window_update(self, payload: bytes, flags: int, stream_id: int) -> None:
        increment = frames.read_number(payload, "WINDOW_UPDATE") & STREAM_BITS
        if not stream_id:
            self._sender.open_window(increment)
            return
        self._check_begun(stream_id)
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.window = widened(stream.window, increment)
            self._sender.open_stream(stream_id, increment)

    def _check_of_connection(self, stream_id: int) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame of the connection on stream {stream_id}")

    def _check_begun(self, stream_id: int) -> None:
        if not stream_id & 1 or stream_id > self._last_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame on stream {stream_id}, which is idle")

    # --- ends -------------------------------------------------------------------------------------

    def _reset(self, stream_id: int, fault: StreamFault) -> None:
        self._sender.forget(stream_id)
        stream = self._streams.get(stream_id)
        self._forget(stream_id)
        if stream is not None:
            stream.cancel()
        self._sender.write(frames.reset_frame(stream_id, fault.code))

    def _give_up(self, fault: ConnectionFault) -> None:
        log.info("grpc_connection_refused", code=fault.code.name, reason=fault.reason)
        self._sender.write(frames.goaway_frame(self._last_id, fault.code, fault.reason))
        self._is_closed = True
        self._transport.close()

    def drain(self) -> None:
        """Let the client go elsewhere without losing a call: those that it sends before it knows are answered."""
        if self._is_leaving or self._is_closed:
            return
        self._is_leaving = True
        goaway = frames.goaway_frame(STREAM_BITS, ErrorCode.NO_ERROR)
        self._sender.write(goaway + frames.ping_frame(_DRAIN_PING, is_ack=False))
        self._loop.call_later(DRAIN_PING_S, self._refuse_new_calls)

    def _refuse_new_calls(self) -> None:
        if self._is_refusing or self._is_closed:
            return
        self._is_refusing = True
        self._sender.write(frames.goaway_frame(self._last_id, ErrorCode.NO_ERROR))
        if not self._streams:
            self._linger()

    def _linger(self) -> None:
        self._loop.call_later(LINGER_S, self.abort)

    def abort(self) -> None:
        """Close; what waits to be sent on an open connection is sent."""
        self._is_closed = True
        self._transport.close()

    def look_after(self, now_s: float) -> None:
        """End what has stalled; the server asks every few seconds."""
        quiet_s = now_s - self._read_s
        block_s = now_s - self._block.began_s if self._block is not None else 0.0
        if (not self._has_settings and now_s - self.began_s > HANDSHAKE_S) or block_s > HANDSHAKE_S:
            self._give_up(
                ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "the handshake or a header block takes too long")
            )
        elif self._sender.stalled_s > STALLED_S:
            self._transport.abort()
        elif quiet_s > IDLE_PING_S and self._pinged_s < self._read_s:
            self._pinged_s = now_s
            self._sender.write(frames.ping_frame(_ALIVE_PING, is_ack=False))
        elif self._pinged_s > self._read_s and now_s - self._pinged_s > PING_TIME_S:
            self._transport.abort()
        else:
            self._end_stalled_requests(quiet_s)

    def _end_stalled_requests(self, quiet_s: float) -> None:
        for stream in list(self._streams.values()):
            if not stream.is_whole and (quiet_s > STALLED_S or stream.age_s > REQUEST_TIME_S):
                stream.fail(DeadlineExceededError("the request did not come whole in time"))
