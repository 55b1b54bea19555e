"""What a caller is told of its limits: headers on every answer, and the error past the limit."""

from __future__ import annotations

import functools
import math

from aiplatform.errors import RateLimitedError
from gateway.limits.rates import Allowance
from gateway.limits.window import Verdict


def rate_headers(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """Return RateLimit-Limit, -Remaining, -Reset and -Policy."""
    return (
        ("RateLimit-Limit", str(verdict.limit)),
        ("RateLimit-Remaining", str(verdict.remaining)),
        ("RateLimit-Reset", str(math.ceil(verdict.reset_s))),
        ("RateLimit-Policy", f"{verdict.limit};w={verdict.rate.window_s}"),
    )


def raw_rate_headers(verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """Return the same as an ASGI application sends them."""
    limit, policy = _fixed_headers(verdict.limit, verdict.rate.window_s)
    return [
        limit,
        (b"ratelimit-remaining", b"%d" % verdict.remaining),
        (b"ratelimit-reset", b"%d" % math.ceil(verdict.reset_s)),
        policy,
    ]


@functools.lru_cache(maxsize=256)
def _fixed_headers(limit: int, window_s: int) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    return (b"ratelimit-limit", b"%d" % limit), (b"ratelimit-policy", b"%d;w=%d" % (limit, window_s))


def rate_limited_error(route: str, allowance: Allowance, verdict: Verdict) -> RateLimitedError:
    """Return the error that says limit, window, value, setting and when to come again."""
    rate = allowance.rate
    share = f" (this process's share: {verdict.limit})" if verdict.limit != rate.limit else ""
    wait_s = math.ceil(verdict.retry_after_s)
    return RateLimitedError(
        f"the token's limit for '{route}' is {rate}{share}, set by {allowance.setting}; try again in {wait_s} s",
        limit=f"requests of a token to '{route}'",
        value=verdict.limit,
        setting=allowance.setting,
        retry_after_s=max(1, wait_s),
        window_s=rate.window_s,
    )
