"""Bytes that came in pieces and wait for the rest: kept as they came, put together once."""

from __future__ import annotations

SMALL_BYTES = 4096  # pieces below this are copied together: each by itself would take more memory than its bytes


class KeptBytes:
    """What has come on a connection, in order. `size` is in bytes."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self.size = 0

    def add(self, data: bytes) -> None:
        """Keep what came next."""
        self.size += len(data)
        if len(data) >= SMALL_BYTES:
            self._pieces.append(data)
        elif self._pieces and type(self._pieces[-1]) is bytearray:
            self._pieces[-1] += data
        else:
            self._pieces.append(bytearray(data))

    def tail(self, start: int) -> bytes:
        """Return all but the first `start` bytes, in one copy."""
        pieces: list[bytes | bytearray | memoryview] = []
        for piece in self._pieces:
            if start >= len(piece):
                start -= len(piece)
                continue
            pieces.append(memoryview(piece)[start:] if start else piece)
            start = 0
        return b"".join(pieces)

    def clear(self) -> None:
        """Keep nothing."""
        self._pieces.clear()
        self.size = 0
