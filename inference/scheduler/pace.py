"""How long rows take: in the engine, and in the queue, where the process has other work to do between two calls."""

from __future__ import annotations

WEIGHT = 0.1  # of the newest call in the moving averages
MOST_OF_ENGINE = 10.0  # a row takes at most so many times its engine's time: a pause of the whole process is no pace
SAFE_SHARE = 0.5  # of a deadline that rows may be expected to wait: of a busy machine's next second little is sure


class Pace:
    """Moving averages of seconds a row. Threads may note calls at the same time; one may then be lost."""

    __slots__ = ("_is_behind", "_last_s", "engine_row_s", "row_s")

    def __init__(self, row_s: float) -> None:
        self.engine_row_s = row_s
        self.row_s = row_s  # from one call's end to the next one's, while rows wait
        self._last_s = 0.0
        self._is_behind = False

    def note_call(self, started_s: float, ended_s: float, rows: int, *, left: int) -> None:
        """Take an engine call in; `left` rows wait at its end.

        Where rows waited when the call before had ended, all the time since then went into these.
        """
        engine_s = (ended_s - started_s) / rows
        row_s = (ended_s - self._last_s) / rows if self._is_behind else engine_s
        self._last_s = ended_s
        self._is_behind = left > 0
        self.engine_row_s += WEIGHT * (engine_s - self.engine_row_s)
        self.row_s += WEIGHT * (min(row_s, MOST_OF_ENGINE * engine_s) - self.row_s)

    def wait_s(self, rows: int) -> float:
        """Return about how long the last of so many waiting rows will wait."""
        return rows * self.row_s

    def is_too_long(self, rows: int, patience_s: float) -> bool:
        """Say whether a deadline so far away is not safely met behind so many rows."""
        return self.wait_s(rows) > SAFE_SHARE * patience_s
