"""How urgent a V2 request says it is: `priority` and `timeout` among its parameters, as Triton has them.

Source: triton-inference-server/server, docs/protocol/extension_schedule_policy.md. Here there are three levels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiplatform.errors import InvalidInputError

PRIORITY = "priority"
TIMEOUT = "timeout"
LEVELS = 3  # 1 goes first; 0 is the default, which is the middle one


@dataclass(frozen=True, slots=True, kw_only=True)
class Urgency:
    """`priority` from 1 to LEVELS, 0 for the default; `timeout_s` None for the server's own."""

    priority: int = 0
    timeout_s: float | None = None


ORDINARY = Urgency()


def read_urgency(read_number: Callable[[str], int | None]) -> Urgency:
    """Return what a request's parameters say; `read_number` gives one by name, None if it is not there.

    Raises: InvalidInputError.
    """
    priority, timeout_us = read_number(PRIORITY) or 0, read_number(TIMEOUT) or 0
    if not priority and not timeout_us:
        return ORDINARY
    if not 0 <= priority <= LEVELS:
        raise InvalidInputError(f"the parameter '{PRIORITY}' is from 0 (the default) to {LEVELS}, not {priority}")
    if timeout_us < 0:
        raise InvalidInputError(f"the parameter '{TIMEOUT}' is a number of microseconds from 0, not {timeout_us}")
    return Urgency(priority=priority, timeout_s=timeout_us / 1e6 if timeout_us else None)
