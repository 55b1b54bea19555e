"""What Ctrl-C means while a command waits: ask whether to leave the run alone or to cancel it."""

from __future__ import annotations

import sys
from enum import Enum, auto
from typing import TextIO

_QUESTION = "\n[d]etach and let the run go on, [c]ancel it, or [w]ait on? "


class Choice(Enum):
    """What to do with the run."""

    DETACH = auto()
    CANCEL = auto()
    WAIT = auto()


def ask_on_interrupt(out: TextIO, source: TextIO | None = None) -> Choice:
    """Return what the person wants; another Ctrl-C, or nobody to ask, means to detach."""
    stream = source or sys.stdin
    if not stream.isatty():
        return Choice.DETACH
    try:
        out.write(_QUESTION)
        out.flush()
        answer = stream.readline().strip().lower()
    except KeyboardInterrupt:
        return Choice.DETACH
    if answer.startswith("c"):
        return Choice.CANCEL
    return Choice.WAIT if answer.startswith("w") else Choice.DETACH
