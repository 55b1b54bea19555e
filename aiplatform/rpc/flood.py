"""Bounds what a client may send that brings no call forward: pings, settings, resets, empty frames.

Each costs its sender next to nothing, and the server an answer or a call begun for nothing (CVE-2019-9512, -9515,
-9518, CVE-2023-44487, CVE-2024-27316). What honest clients need grows with their calls, so the bound does too.
"""

from __future__ import annotations

from collections.abc import Callable

from aiplatform.rpc.frames import ConnectionFault, ErrorCode

SPAN_S = 10.0
FRAMES = 1000  # in a span, and besides
FRAMES_A_CALL = 8  # gRPC's own clients send a ping and two window updates with many an answer
FRAMES_A_PIECE = 4  # and the like with each frame of a large message
RESETS = 500  # in a span, and besides
CALLS_A_RESET = 2  # one call in so many may be reset


class FloodGuard:
    """Counts one connection's frames; the counts begin anew with each span."""

    __slots__ = ("_clock", "_earned", "_frames", "_resets", "_span_began_s", "calls", "pieces")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._span_began_s = clock()
        self.calls = self.pieces = 0  # what the connection has had; it counts them here
        self._earned = (0, 0)  # what it had had when the span began
        self._frames = self._resets = 0

    def count_frame(self) -> None:
        """Count a frame that brings no call forward. Raises: ConnectionFault."""
        self._frames += 1
        if self._frames > FRAMES and not self._is_new_span():
            calls, pieces = self._earned
            earned = FRAMES_A_CALL * (self.calls - calls) + FRAMES_A_PIECE * (self.pieces - pieces)
            self._hold("frames that bring nothing", self._frames, FRAMES + earned)

    def count_reset(self) -> None:
        """Count a call that its client gave up. Raises: ConnectionFault."""
        self._resets += 1
        if self._resets > RESETS and not self._is_new_span():
            self._hold("calls given up", self._resets, RESETS + (self.calls - self._earned[0]) // CALLS_A_RESET)

    def _is_new_span(self) -> bool:
        now_s = self._clock()
        if now_s - self._span_began_s < SPAN_S:
            return False
        self._span_began_s, self._earned = now_s, (self.calls, self.pieces)
        self._frames = self._resets = 0
        return True

    def _hold(self, what: str, count: int, limit: int) -> None:
        if count > limit:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, f"{count} {what} in {SPAN_S:.0f} s; the limit is {limit}"
            )
