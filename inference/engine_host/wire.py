"""What workers and engine host say to each other, and how arrays lie in shared memory.

A message is its length (4 bytes, little-endian) and msgpack. Each connection has one segment of shared memory
(a memfd, handed over with the connection, gone with its last user). A call's inputs are laid into it, the
outputs over them, so nothing is copied through the socket but names and shapes. Text has no fixed size: it
travels in the message. Every answer carries the id of its question.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from mmap import mmap
from typing import Any

import msgspec
import numpy as np

from aiplatform.errors import PlatformError
from inference.engines.base import Arrays

LENGTH = struct.Struct("<I")
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
ALIGNMENT = 64


class HostGoneError(ConnectionError):
    """The other side has closed the connection."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where an array lies: at `offset`, or, if it is text, in the message itself."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int = 0
    texts: list[bytes] | None = None


class Load(msgspec.Struct, tag="load", frozen=True):
    """Open the model files in a folder of this machine; `key` is the same for all who may share it."""

    id: int
    key: str
    kind: str
    model: str
    manifest: bytes
    threads: int
    max_batch_rows: int


class Run(msgspec.Struct, tag="run", frozen=True):
    """Run a batch whose inputs lie in the connection's segment."""

    id: int
    key: str
    inputs: list[Place]
    timeout_s: float


class Unload(msgspec.Struct, tag="unload", frozen=True):
    """Let go of an engine."""

    id: int
    key: str


class Segment(msgspec.Struct, tag="segment", frozen=True):
    """A new segment of shared memory; its descriptor comes along."""

    id: int
    size: int


class Done(msgspec.Struct, tag="done", frozen=True):
    """It worked; a run's outputs lie in the segment, or in `raw` where that was too small."""

    id: int
    name: str = ""
    outputs: list[Place] = []
    raw: bytes = b""


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """It did not; `code` is a PlatformError's."""

    id: int
    code: str
    message: str


Question = Load | Run | Unload | Segment
Reply = Done | Failed
_questions: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Question)
_replies: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Reply)


def send_message(sock: socket.socket, message: Question | Reply, *, fds: Sequence[int] = ()) -> None:
    """Write a message; descriptors travel with its first bytes."""
    body = msgspec.msgpack.encode(message)
    data = LENGTH.pack(len(body)) + body
    if fds:
        sent = socket.send_fds(sock, [data], list(fds))
        data = data[sent:]
    sock.sendall(data)


def read_question(sock: socket.socket) -> tuple[Question, list[int]]:
    """Return the next question and the descriptors that came with it. Raises: HostGoneError."""
    data, fds, _, _ = socket.recv_fds(sock, LENGTH.size, 1)
    if not data:
        raise HostGoneError("the other side has closed the connection")
    body = _read_rest(sock, data)
    return _questions.decode(body), list(fds)


def read_reply(sock: socket.socket) -> Reply:
    """Return the next answer. Raises: HostGoneError; TimeoutError."""
    reply: Reply = _replies.decode(_read_rest(sock, b""))
    return reply


def _read_rest(sock: socket.socket, begun: bytes) -> bytes:
    head = begun + _read(sock, LENGTH.size - len(begun))
    (length,) = LENGTH.unpack(head)
    if length > MAX_MESSAGE_BYTES:
        raise HostGoneError(f"a message of {length} bytes; the most is {MAX_MESSAGE_BYTES}")
    return _read(sock, length)


def _read(sock: socket.socket, length: int) -> bytes:
    pieces = []
    while length:
        piece = sock.recv(min(length, 1 << 20))
        if not piece:
            raise HostGoneError("the other side has closed the connection")
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def needed_bytes(arrays: Arrays) -> int:
    """Return how much of a segment these arrays take."""
    return sum(_aligned(array.nbytes) for array in arrays.values() if array.dtype != object)


def lay_arrays(arrays: Arrays, segment: mmap | bytearray) -> list[Place]:
    """Copy arrays into a segment that is large enough; return where they lie."""
    places, offset = [], 0
    for name, array in arrays.items():
        if array.dtype == object or array.dtype.kind in "SU":
            texts = [v if isinstance(v, bytes) else str(v).encode() for v in array.ravel().tolist()]
            places.append(Place(name, "object", array.shape, texts=texts))
            continue
        there = np.frombuffer(segment, dtype=array.dtype, count=array.size, offset=offset).reshape(array.shape)
        there[...] = array
        places.append(Place(name, array.dtype.name, array.shape, offset))
        offset += _aligned(array.nbytes)
    return places


def read_arrays(places: Sequence[Place], segment: mmap | bytes, *, copies: bool) -> Arrays:
    """Return the arrays that lie in a segment: views of it, or copies of their own.

    Raises: PlatformError if a place is not inside.
    """
    arrays: Arrays = {}
    for place in places:
        if place.texts is not None:
            texts = np.empty(len(place.texts), dtype=object)
            texts[:] = place.texts
            arrays[place.name] = texts.reshape(place.shape)
            continue
        dtype: np.dtype[Any] = np.dtype(place.dtype)
        count = int(np.prod(place.shape, dtype=np.int64))
        if place.offset < 0 or count < 0 or place.offset + count * dtype.itemsize > len(segment):
            raise PlatformError(f"array '{place.name}' lies outside its segment of {len(segment)} bytes")
        view = np.frombuffer(segment, dtype=dtype, count=count, offset=place.offset).reshape(place.shape)
        arrays[place.name] = view.copy() if copies else view
    return arrays


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
