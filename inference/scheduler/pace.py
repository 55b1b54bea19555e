"""How long rows take: in the engine, and in the queue, where the process has other work to do between two calls."""

from __future__ import annotations

WEIGHT = 0.1  # of the newest call in the moving averages
MOST_OF_ENGINE = 10.0  # a row takes at most so many times its engine's time: a pause of the whole process is no pace
SAFE_SHARE = 0.5  # of a deadline that rows may be expected to wait: of a busy machine's next second little is sure
FIRST_SHARE = 0.25  # the same while it is not known how fast a queue empties that grows faster than it does
KNOWN_CALLS = 20  # with rows left at the end of each: then it is known
LONG_ROW_S = 0.05  # in the engine: beside that, all else is little


class Pace:
    """Moving averages of seconds a row. Threads may note calls at the same time; one may then be lost."""

    __slots__ = ("_calls_behind", "_last_s", "engine_row_s", "row_s")

    def __init__(self, row_s: float) -> None:
        self.engine_row_s = row_s
        self.row_s = row_s  # from one call's end to the next one's, while rows wait
        self._last_s = 0.0
        self._calls_behind = 0  # one after the other

    def note_call(self, started_s: float, ended_s: float, rows: int, *, left: int) -> None:
        """Take an engine call in; `left` rows wait at its end.

        Where rows waited when the call before had ended, all the time since then went into these.
        """
        engine_s = (ended_s - started_s) / rows
        row_s = (ended_s - self._last_s) / rows if self._calls_behind else engine_s
        self._last_s = ended_s
        self._calls_behind = self._calls_behind + 1 if left > 0 else 0
        self.engine_row_s += WEIGHT * (engine_s - self.engine_row_s)
        self.row_s += WEIGHT * (min(row_s, MOST_OF_ENGINE * engine_s) - self.row_s)

    def wait_s(self, rows: int) -> float:
        """Return about how long the last of so many waiting rows will wait."""
        return rows * self.row_s

    def is_too_long(self, rows: int, patience_s: float) -> bool:
        """Say whether a deadline so far away is not safely met behind so many rows.

        When a queue begins to grow, the engine's time alone is known, and not what else the process will have to do:
        an overload fills a queue in less time than that takes to be seen.
        """
        is_known = self._calls_behind >= KNOWN_CALLS or self.engine_row_s >= LONG_ROW_S
        share = SAFE_SHARE if is_known else FIRST_SHARE
        return self.wait_s(rows) > share * patience_s
