"""What a connection does besides requests: settings, windows, pings, and its ends.

State of both halves is here; `connection.py` adds what reads requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from aiplatform.errors import DeadlineExceededError
from aiplatform.rpc import frames
from aiplatform.rpc.flood import FloodGuard
from aiplatform.rpc.frames import (
    ACK,
    GOAWAY,
    LARGEST_WINDOW,
    PING,
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
from aiplatform.rpc.headers import MAX_HEADER_BYTES
from aiplatform.rpc.sending import Sender, widened
from aiplatform.rpc.stream import Stream

MAX_STREAMS = 1024
MAX_FRAME_BYTES = 128 * 1024
MAX_BLOCK_BYTES, MAX_BLOCK_FRAMES = 32 * 1024, 16  # of a header block as packed, with its CONTINUATIONs
SMALL_FRAME_BYTES = 1024
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


class OpenBlock:
    """A header block that is not whole."""

    __slots__ = ("began_s", "content", "flags", "frames", "stream_id")

    def __init__(self, stream_id: int, flags: int, content: bytearray, began_s: float) -> None:
        self.stream_id = stream_id
        self.flags = flags
        self.content = content
        self.frames = 1
        self.began_s = began_s


class ControlledConnection(asyncio.Protocol):
    """A connection as far as requests do not matter."""

    def __init__(self, *, max_unsent_bytes: int) -> None:
        self._max_unsent_bytes = max_unsent_bytes
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._streams: dict[int, Stream] = {}
        self._flood = FloodGuard(self._clock)
        self._has_settings = False
        self._block: OpenBlock | None = None
        self._last_id = 0
        self._kept_bytes = 0
        self._pinged_s = 0.0
        self._is_leaving = self._is_refusing = self._is_closed = False
        self.began_s = self._read_s = self._clock()
        self._controls: dict[int, Callable[[bytes, int, int], None]] = {
            PRIORITY: self._take_priority,
            RST_STREAM: self._take_reset,
            SETTINGS: self._take_settings,
            PUSH_PROMISE: self._refuse_push,
            PING: self._take_ping,
            GOAWAY: self._take_goaway,
            WINDOW_UPDATE: self._take_window_update,
        }

    # --- the transport's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._sender = Sender(
            self._transport,
            on_end=self._forget,
            flood=self._flood,
            clock=self._clock,
            max_unsent_bytes=self._max_unsent_bytes,
        )
        self._sender.write(_GREETING)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up all calls."""
        self._is_closed = True
        self._cancel_all()

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not take its answers."""
        self._sender.pause()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._transport.resume_reading()
        self._sender.resume()

    # --- frames -----------------------------------------------------------------------------------

    def _take_control(self, kind: int, payload: bytes, flags: int, stream_id: int) -> None:
        self._flood.count_frame()
        take = self._controls.get(kind)
        if take is None:
            return  # an extension
        try:
            take(payload, flags, stream_id)
        except StreamFault as fault:
            self._reset(stream_id, fault)

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
        stream.cancel()
        self._flood.count_reset()

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

    def _forget(self, stream_id: int) -> None:
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            return
        self._kept_bytes -= stream.kept_bytes
        if self._is_refusing and not self._streams:
            self._linger()

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
        self._cancel_all()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._linger()  # reading on: what is closed with bytes unread is reset, and the last words with it

    def _cancel_all(self) -> None:
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.cancel()

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
        self._loop.call_later(LINGER_S, self._transport.close)

    def abort(self) -> None:
        """Close, whatever waits to be sent."""
        self._transport.abort()

    def look_after(self, now_s: float) -> None:
        """End what has stalled; the server asks every few seconds."""
        if self._is_closed:
            self._transport.abort()  # its client takes not even the end
            return
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
