"""Which of an arbiter's workers are still starting, told through memory that all of them share.

When workers are replaced (SIGHUP), gunicorn starts the new ones and at once tells the old ones to end; but a new one
takes connections only when its versions are loaded, some seconds later. So an old one asks here first, and goes on.
"""

from __future__ import annotations

import mmap

PLACES = 1024  # of workers, by their age; more do not live at the same time


class Succession:
    """The arbiter opens it before it forks; without that, nobody is ever starting."""

    def __init__(self) -> None:
        self._starting: mmap.mmap | None = None  # a byte a worker; behind them, whether all are to end
        self._own = PLACES

    def open(self) -> None:
        """Be the arbiter."""
        self._starting = mmap.mmap(-1, PLACES + 1)

    def note_start(self, age: int) -> None:
        """Say, in the arbiter, that a worker is about to be forked."""
        self._note(age % PLACES, 1)

    def note_end(self, age: int) -> None:
        """Say, in the arbiter, that a worker has ended, wherever it stood."""
        self._note(age % PLACES, 0)

    def note_stop(self) -> None:
        """Say, in the arbiter, that all are to end: nobody comes after them."""
        self._note(PLACES, 1)

    def become(self, age: int) -> None:
        """Be that worker."""
        self._own = age % PLACES

    def note_serving(self) -> None:
        """Say, in a worker, that it takes connections now."""
        if self._own < PLACES:
            self._note(self._own, 0)

    def is_awaited(self) -> bool:
        """Say whether another worker is starting that shall go on for this one."""
        starting = self._starting
        if starting is None or starting[PLACES]:
            return False
        return any(starting[place] for place in range(PLACES) if place != self._own)

    def _note(self, place: int, value: int) -> None:
        if self._starting is not None:
            self._starting[place] = value


succession = Succession()
