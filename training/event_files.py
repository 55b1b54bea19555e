"""Writes a run's metrics as TensorBoard reads them, without TensorBoard: records of `Event` messages.

A record is its length, a masked CRC-32C of that, the message, and a masked CRC-32C of it (TFRecord). An event has a
time, a step and values by tag. Only what scalars need of the message is written here.
Sources: tensorflow/core/lib/io/record_writer.h; tensorflow/core/util/event.proto; CRC-32C (Castagnoli), RFC 3720 B.4.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

FOLDER = "tensorboard"
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types of protocol buffers


class EventFile:
    """One file of events; each attempt at a run writes its own, and TensorBoard joins them."""

    def __init__(self, folder: Path, *, host: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{host}.{os.getpid()}.0"
        self._path = folder / name
        self._write(_field(1, _DOUBLE, struct.pack("<d", time.time())) + _text(3, "brain.Event:2"))

    def add_scalars(self, values: Mapping[str, float | None], *, step: int) -> None:
        """Write values by tag at a step; None is left out.

        Raises: OSError if the disk refuses.
        """
        told = {tag: value for tag, value in values.items() if value is not None}
        summary = b"".join(
            _message(1, _text(1, tag) + _field(2, _FLOAT, struct.pack("<f", value))) for tag, value in told.items()
        )
        if summary:
            head = _field(1, _DOUBLE, struct.pack("<d", time.time())) + _field(2, _VARINT, _varint(step))
            self._write(head + _message(5, summary))

    def _write(self, message: bytes) -> None:
        length = struct.pack("<Q", len(message))
        record = length + struct.pack("<I", masked_crc(length)) + message + struct.pack("<I", masked_crc(message))
        with self._path.open("ab") as file:
            file.write(record)  # whole records only: a reader may look at any moment


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of some bytes as records keep it."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _table_entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_table_entry(byte) for byte in range(256))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, wire_type: int, raw: bytes) -> bytes:
    return _varint(number << 3 | wire_type) + raw


def _message(number: int, raw: bytes) -> bytes:
    return _field(number, _BYTES, _varint(len(raw)) + raw)


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())
