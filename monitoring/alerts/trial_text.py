"""A trial as text, for a terminal."""

from __future__ import annotations

from itertools import groupby
from typing import Protocol

from monitoring.alerts.durations import duration_text
from monitoring.alerts.trial import Moment, TargetTrial, Trial

_LETTERS = {
    "inactive": ".", "pending": "p", "firing": "F", "recovering": "r", "no_data": " ", "error": "E", "paused": "-",
}  # fmt: skip
_RANK = "FErp-. "  # of several states in one cell the first of these is shown
WIDTH = 84  # cells of a week: two hours each


class Writer(Protocol):
    """A command's standard output."""

    def write(self, text: str) -> object:
        """Write a line."""


def print_trial(trial: Trial, out: Writer) -> None:
    """Write what a rule would have done."""
    out.write(f"{trial.rule.name}: {trial.rule.condition}")
    out.write(
        f"{trial.since:%Y-%m-%d %H:%M} to {trial.until:%Y-%m-%d %H:%M} UTC, every {duration_text(trial.step_s)}: "
        f"{trial.firing_count} alerts, {len(trial.messages)} messages"
    )
    out.write(f"  {', '.join(f'{letter!r} {state}' for state, letter in _LETTERS.items())}")
    for target in trial.targets:
        _print_target(trial, target, out)
    for message in trial.messages:
        channels = ", ".join(message.channels) or "nobody: no channel"
        out.write(
            f"  {message.at:%m-%d %H:%M:%S} message '{message.kind}' about {message.firing} firing, "
            f"{message.resolved} resolved ({message.group}) to {channels}"
        )
    if not trial.targets:
        out.write("  nothing that this rule covers had a prediction within this time")
    if trial.left_out:
        out.write(f"  and {trial.left_out} more versions")


def _print_target(trial: Trial, target: TargetTrial, out: Writer) -> None:
    out.write(f"{target.endpoint} version {target.version}")
    out.write(f"  |{_strip(trial, target.moments)}|")
    for firing in target.firings:
        end = f"{firing.resolved_at:%m-%d %H:%M}" if firing.resolved_at else "now"
        out.write(f"  fired {firing.fired_at:%m-%d %H:%M}, until {end}")


def _strip(trial: Trial, moments: list[Moment]) -> str:
    whole = max(1.0, (trial.until - trial.since).total_seconds())

    def cell(moment: Moment) -> int:
        return min(WIDTH - 1, int((moment.at - trial.since).total_seconds() / whole * WIDTH))

    cells = {}
    for place, run in groupby(moments, key=cell):
        cells[place] = min((_LETTERS[moment.state] for moment in run), key=_RANK.index)
    return "".join(cells.get(place, " ") for place in range(WIDTH))
