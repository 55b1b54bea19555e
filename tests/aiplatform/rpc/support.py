"""A server with an application of the test's, and two clients: the h2 library's, and one of bare bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

from aiplatform.errors import NotFoundError
from aiplatform.rpc import frames
from aiplatform.rpc.calls import V2_SERVICE, Call, CallApplication, waiting_application
from aiplatform.rpc.frames import ErrorCode
from aiplatform.rpc.server import CallServer

INFER = f"{V2_SERVICE}ModelInfer"
SLOW = f"{V2_SERVICE}Slow"
LARGE = f"{V2_SERVICE}Large"
FAILS = f"{V2_SERVICE}Fails"
BREAKS = f"{V2_SERVICE}Breaks"
WAIT_S = 20


class Echo:
    """Answers with what came; by the method's name slowly, at length, or not at all."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.ended: list[tuple[str, int]] = []
        self.gate = asyncio.Event()

    def __call__(self, call: Call) -> None:
        self.calls.append(call)
        call.on_end = lambda call, status: self.ended.append((call.method, status))
        if call.method == SLOW:
            waiting_application(self._slowly)(call)
        elif call.method == LARGE:
            call.answer(b"x" * int(call.body))
        elif call.method == FAILS:
            raise NotFoundError("no model \u2018x\u2019, 100% sure\n")
        elif call.method == BREAKS:
            raise ValueError("a secret detail")
        else:
            call.answer(b"answer to " + call.body)

    async def _slowly(self, call: Call) -> bytes:
        await self.gate.wait()
        return b"late answer to " + call.body


@dataclass
class Answer:
    """What came back on a stream."""

    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    is_over: bool = False
    reset: int | None = None

    @property
    def message(self) -> bytes:
        """Return the one message without its prefix."""
        assert len(self.data) == 5 + int.from_bytes(self.data[1:5], "big")
        return self.data[5:]

    @property
    def status(self) -> str:
        """Return grpc-status, be it in headers or trailers."""
        return self.trailers.get("grpc-status") or self.headers.get("grpc-status", "")


class H2Client:
    """The h2 library over a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, window: int, grows: bool) -> None:
        self._reader, self._writer = reader, writer
        self._grows = grows
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.goaways: list[int] = []
        self.is_closed = False
        self._received = bytearray()

    async def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())
        await self._writer.drain()

    async def send(
        self,
        method: str,
        body: bytes | None,
        *,
        ends: bool = True,
        frame: int = 16_384,
        pad: int | None = None,
        **extra: str,
    ) -> int:
        """Begin a call; `body` None sends headers alone."""
        stream_id = self.h2.get_next_available_stream_id()
        self.answers[stream_id] = Answer()
        fields = {"content-type": "application/grpc", "te": "trailers"}
        fields |= {key.replace("_", "-"): value for key, value in extra.items()}
        pseudo = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "here")]
        self.h2.send_headers(stream_id, [*pseudo, *fields.items()])
        if body is not None:
            await self.send_message(stream_id, body, ends=ends, frame=frame, pad=pad)
        await self.flush()
        return stream_id

    async def send_message(
        self, stream_id: int, body: bytes, *, ends: bool = True, frame: int = 16_384, pad: int | None = None
    ) -> None:
        left = memoryview(b"\0" + len(body).to_bytes(4, "big") + body)
        while left and not self.answers[stream_id].is_over:
            room = min(frame, self.h2.local_flow_control_window(stream_id) - (pad or 0) - 1, len(left))
            if room <= 0:
                await self.read_once()
                continue
            self.h2.send_data(stream_id, left[:room].tobytes(), pad_length=pad)
            left = left[room:]
            await self.flush()
        if ends and not self.answers[stream_id].is_over:
            self.h2.end_stream(stream_id)
        await self.flush()

    async def read_once(self) -> None:
        data = await asyncio.wait_for(self._reader.read(65_536), WAIT_S)
        if not data:
            self.is_closed = True
            raise EOFError
        self._received += data
        for frame in self._whole_frames():
            if frame[3] == frames.GOAWAY:  # to the library the connection would be at its end
                self.goaways.append(int.from_bytes(frame[13:17], "big"))
                continue
            for event in self.h2.receive_data(frame):
                self._take(event)
        await self.flush()

    def _whole_frames(self) -> list[bytes]:
        found = []
        while len(self._received) >= 9:
            size = 9 + int.from_bytes(self._received[:3], "big")
            if len(self._received) < size:
                break
            found.append(bytes(self._received[:size]))
            del self._received[:size]
        return found

    def _take(self, event: Any) -> None:
        match event:
            case h2.events.ResponseReceived():
                self.answers[event.stream_id].headers = _fields(event)
            case h2.events.TrailersReceived():
                self.answers[event.stream_id].trailers = _fields(event)
            case h2.events.DataReceived():
                self.answers[event.stream_id].data += event.data
                if self._grows and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.answers[event.stream_id].is_over = True
            case h2.events.StreamReset():
                answer = self.answers[event.stream_id]
                answer.reset, answer.is_over = int(event.error_code), True

    async def answer(self, stream_id: int) -> Answer:
        """Read until a call is over."""
        while not self.answers[stream_id].is_over:
            await self.read_once()
        return self.answers[stream_id]

    async def ask(self, method: str, body: bytes | None, **options: Any) -> Answer:
        return await self.answer(await self.send(method, body, **options))

    async def close(self) -> None:
        self._writer.close()


class RawClient:
    """Bytes, as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))
        try:
            await self.writer.drain()
        except ConnectionError:
            return

    async def greet(self) -> None:
        await self.send(frames.PREFACE, frames.settings_frame({}))

    async def frames(self) -> list[tuple[int, int, int, bytes]]:
        """Return all frames until the server closes: kind, flags, stream, payload."""
        try:
            data = await asyncio.wait_for(self.reader.read(), WAIT_S)
        except ConnectionError:
            return []
        found = []
        while data:
            word, flags, stream_id = frames.FRAME_HEAD.unpack_from(data)
            size = word >> 8
            found.append((word & 0xFF, flags, stream_id, data[9 : 9 + size]))
            data = data[9 + size :]
        return found

    async def last_words(self) -> tuple[ErrorCode, str]:
        """Return code and reason of the GOAWAY with which the server closes."""
        for kind, _, _, payload in reversed(await self.frames()):
            if kind == frames.GOAWAY:
                return ErrorCode(int.from_bytes(payload[4:8], "big")), payload[8:].decode()
        raise AssertionError("the server said no GOAWAY")


def _fields(event: Any) -> dict[str, str]:
    return dict(event.headers)


@asynccontextmanager
async def serving(application: CallApplication, **options: Any) -> AsyncIterator[CallServer]:
    server = CallServer(application, bind="127.0.0.1:0", **{"max_message_bytes": 1 << 20, **options})
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0.2)


@asynccontextmanager
async def h2_client(server: CallServer, *, window: int = 65_535, grows: bool = True) -> AsyncIterator[H2Client]:
    client = H2Client(*await asyncio.open_connection("127.0.0.1", server.port), window=window, grows=grows)
    await client.flush()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def raw_client(server: CallServer) -> AsyncIterator[RawClient]:
    client = RawClient(*await asyncio.open_connection("127.0.0.1", server.port))
    try:
        yield client
    finally:
        client.writer.close()


def run(script: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
    """Run a script of a test, within time."""
    return asyncio.run(asyncio.wait_for(script(), 60))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)
