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
RESETS = 500  # in a span, and besides
CALLS_A_RESET = 2  # one call in so many may be reset


class FloodGuard:
    """Counts one connection's frames; the counts begin anew with each span."""

    __slots__ = ("_calls", "_clock", "_frames", "_resets", "_span_began_s")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._span_began_s = clock()
        self._calls = 0  # that the connection had when the span began
        self._frames = self._resets = 0

    def count_frame(self, calls: int) -> None:
        """Count a frame; `calls` is how many calls the connection has had. Raises: ConnectionFault."""
        self._frames += 1
        if self._frames > FRAMES and not self._is_new_span(calls):
            self._hold("frames that bring nothing", self._frames, FRAMES + FRAMES_A_CALL * (calls - self._calls))

    def count_reset(self, calls: int) -> None:
        """Count a call that its client gave up. Raises: ConnectionFault."""
        self._resets += 1
        if self._resets > RESETS and not self._is_new_span(calls):
            self._hold("calls given up", self._resets, RESETS + (calls - self._calls) // CALLS_A_RESET)

    def _is_new_span(self, calls: int) -> bool:
        now_s = self._clock()
        if now_s - self._span_began_s < SPAN_S:
            return False
        self._span_began_s, self._calls = now_s, calls
        self._frames = self._resets = 0
        return True

    def _hold(self, what: str, count: int, limit: int) -> None:
        if count > limit:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, f"{count} {what} in {SPAN_S:.0f} s; the limit is {limit}"
            )
