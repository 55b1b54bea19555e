"""Rates as people write them: 100/min."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from aiplatform.errors import InvalidConfigurationError

_WINDOWS_S = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hour": 3600, "day": 86400}
_RATE = re.compile(r"(\d+)\s*/\s*([a-z]+)")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """At most `limit` requests in each window of `window_s` seconds."""

    limit: int
    window_s: int

    def __str__(self) -> str:
        """Return the form that `parse_rate` reads."""
        names = {seconds: name for name, seconds in reversed(_WINDOWS_S.items())}
        return f"{self.limit}/{names[self.window_s]}"


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """A rate, and where to change it: the name of a setting, or of a token's own field."""

    rate: Rate
    setting: str


@functools.cache
def parse_rate(text: str) -> Rate:
    """Return the rate that a text like '6000/min' names.

    Raises: InvalidConfigurationError naming the units.
    """
    match = _RATE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _WINDOWS_S or int(match[1]) < 1:
        raise InvalidConfigurationError(f"a rate is a number from 1 and /s, /min, /h or /day, not '{text}'")
    return Rate(limit=int(match[1]), window_s=_WINDOWS_S[match[2]])
