"""Durations as people say and type them: 90 s, 5 min, 4 h, 7 d."""

from __future__ import annotations

import re

from aiplatform.errors import InvalidInputError

_UNITS_S = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SHOWN = ("d", "h", "min")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*")
_GREATEST_S = 2_147_483_647  # what the database's column holds


def duration_text(seconds: float) -> str:
    """Return a duration as people say it: in the greatest unit of which it is a whole number."""
    for unit in _SHOWN:
        size = _UNITS_S[unit]
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def read_duration(text: str) -> int:
    """Return the seconds that somebody typed: '5 min', '1h 30m', or a bare number of seconds.

    Raises: InvalidInputError naming the text and what is understood.
    """
    rest, seconds = text.strip().lower(), 0.0
    refusal = f"a duration is written like 90 s, 5 min, 4 h, 1 h 30 min, 7 d, or in seconds; not '{text.strip()}'"
    if not rest:
        raise InvalidInputError(refusal)
    while rest:
        part = _PART.match(rest)
        if part is None or (part[2] or "s") not in _UNITS_S:
            raise InvalidInputError(refusal)
        if not part[2] and part.end() != len(text.strip()):  # a bare number stands alone
            raise InvalidInputError(refusal)
        seconds += float(part[1]) * _UNITS_S[part[2] or "s"]
        rest = rest[part.end() :]
    if seconds != int(seconds) or seconds > _GREATEST_S:
        raise InvalidInputError(f"a duration is a whole number of seconds up to {_GREATEST_S}, not '{text.strip()}'")
    return int(seconds)
