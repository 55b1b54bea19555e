"""What happens to a run, as events for those who watch its page.

A feed remembers what its listener has seen and gives only what is new: the head (state, progress, rates), the
charts when there is another epoch or measurement, and the log from where it was read last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from training import run_files, selectors
from training.models import Run

LOG_BYTES = 64 * 1024  # of one event; a log that grows faster is given in several


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing to tell a listener; `id` is where its log goes on, if the event moves that."""

    name: str
    data: Any
    id: str = ""


class RunFeed:
    """One listener's view of a run. `draw_head` and `draw_charts` return HTML."""

    def __init__(
        self, run_id: UUID, *, offset: int, draw_head: Callable[[Run], str], draw_charts: Callable[[Run], str]
    ) -> None:
        self._run_id, self._offset = run_id, offset
        self._draw_head, self._draw_charts = draw_head, draw_charts
        self._head, self._charts_mark = "", ()  # type: tuple[str, tuple[Any, ...]]

    def look(self) -> list[Event]:
        """Return what is new; the last event of a run that has ended is `end`."""
        run = selectors.find_run(self._run_id)
        if run is None:
            return [Event(name="end", data={})]
        events = [*self._new_head(run), *self._new_charts(run)]
        more = self._new_log(run)
        if run.is_ended and not more:
            return [*events, Event(name="end", data={"state": run.state})]
        return [*events, *more]

    def _new_head(self, run: Run) -> list[Event]:
        head = self._draw_head(run)
        if head == self._head:
            return []
        self._head = head
        return [Event(name="head", data={"state": run.state, "html": head})]

    def _new_charts(self, run: Run) -> list[Event]:
        mark = selectors.charts_mark(run)
        if mark == self._charts_mark:
            return []
        self._charts_mark = mark
        return [Event(name="charts", data={"html": self._draw_charts(run)})]

    def _new_log(self, run: Run) -> list[Event]:
        text, self._offset = run_files.read_log_from(run.pk, self._offset, limit_bytes=LOG_BYTES)
        return [Event(name="log", data={"text": text}, id=str(self._offset))] if text else []
