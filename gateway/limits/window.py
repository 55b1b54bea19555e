"""One sliding window: the count of this window and, fading out, of the one before.

The estimate is `previous * (share of it still in view) + current`: two numbers a key, one
addition a request. Source: the sliding window counter as in Cloudflare's rate limiting (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.limits.rates import Rate


@dataclass(slots=True)
class Window:
    """Counts of one key; the caller holds the lock.

    `own` is what this process let through in the window numbered `index`; `sent` of it is known
    to the other processes, and `others` is what they let through. `spent` is the last window's sum.
    """

    rate: Rate
    index: int = 0
    own: int = 0
    sent: int = 0
    others: int = 0
    spent: int = 0

    def move_to(self, now_s: float) -> float:
        """Go on to the window of this moment; return how far it has passed, 0 to 1."""
        index, passed_s = divmod(now_s, self.rate.window_s)
        if int(index) != self.index:
            is_next = int(index) == self.index + 1
            self.spent = self.own + self.others if is_next else 0
            self.index, self.own, self.sent, self.others = int(index), 0, 0, 0
        return passed_s / self.rate.window_s

    def used(self, passed: float) -> float:
        """Return the estimate of requests in the last `window_s` seconds."""
        return self.spent * (1 - passed) + self.own + self.others

    def retry_after_s(self, passed: float, limit: int) -> float:
        """Return when one more request will fit, if no other comes, in seconds."""
        now = self.own + self.others
        if now + 1 <= limit:  # it fits as soon as enough of the last window has faded
            return max(0.0, (1 - (limit - now - 1) / max(self.spent, 1) - passed) * self.rate.window_s)
        fade = max(0.0, 1 - (limit - 1) / now)
        return (1 - passed + fade) * self.rate.window_s


class Verdict:
    """Whether a request may pass, and what to tell its sender. Plain, as one is made for each request.

    `limit` is this process's, the rate's or a share of it; `reset_s` goes by until the window's count starts again.
    """

    __slots__ = ("is_allowed", "limit", "rate", "remaining", "reset_s", "retry_after_s")

    def __init__(
        self, *, is_allowed: bool, rate: Rate, limit: int, remaining: int, reset_s: float, retry_after_s: float = 0.0
    ) -> None:
        self.is_allowed = is_allowed
        self.rate = rate
        self.limit = limit
        self.remaining = remaining
        self.reset_s = reset_s
        self.retry_after_s = retry_after_s
