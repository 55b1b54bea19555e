"""How a waited run looks: bars in a terminal, lines in a pipe, JSON objects for a script."""

from __future__ import annotations

import json
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from training.cli.texts import end_sentence, metrics_text, run_record, seconds_text
from training.models import EpochMetrics, Run

_PHASES = {
    "": "queued",
    "starting": "starting",
    "preparing": "reading the data",
    "learning": "learning",
    "publishing": "writing the model",
    "waiting to go on": "waiting to go on",
    "done": "done",
}
_PHASE_WIDTH = max(len(text) for text in _PHASES.values())


def phase_text(run: Run, waits: str = "") -> str:
    """Return what a run is doing, in words; `waits`: why it does nothing yet."""
    phase = str(run.progress.get("phase", ""))
    if waits:
        return f"queued: {waits}"
    return "stopping" if run.state == "stopping" else _PHASES.get(phase, phase)


def _epochs_of(run: Run) -> Any:
    # A resumed run that waits has no progress yet, but it has epochs already.
    return run.progress.get("epochs") or run.parameters.get("epochs", "?")


class RunView(Protocol):
    """Shows one run while a command waits for it."""

    def update(self, run: Run, waits: str = "") -> None:
        """Show where the run stands, or why it waits; called several times a second."""

    def end_epoch(self, run: Run, epoch: EpochMetrics) -> None:
        """Show a finished epoch."""

    def end(self, run: Run) -> None:
        """Show how the run ended."""

    def close(self) -> None:
        """Give the terminal back; may be called twice."""


class PlainView:
    """One line for each thing that happens."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = ""

    def update(self, run: Run, waits: str = "") -> None:
        """Write a line when the run enters another phase, or waits for something else."""
        text = phase_text(run, waits)
        if text != self._last and not run.is_ended:
            self._last = text
            self._write(f"run {run.short_id}: {text}")

    def end_epoch(self, run: Run, epoch: EpochMetrics) -> None:
        """Write an epoch's metrics."""
        self._write(f"epoch {epoch.epoch}/{_epochs_of(run)}  {metrics_text(epoch.values)}")

    def end(self, run: Run) -> None:
        """Write how it ended."""
        self._write(end_sentence(run))

    def close(self) -> None:
        """Nothing is held."""

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


class JsonView:
    """One JSON object a line: `event` is progress, epoch or end."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last: Any = None

    def update(self, run: Run, waits: str = "") -> None:
        """Write the progress when it has changed."""
        now = (run.state, run.progress, waits)
        if now != self._last and not run.is_ended:
            self._last = now
            said = {"waits": waits} if waits else {}
            self._write({"event": "progress", "run": str(run.pk), "state": run.state, "progress": run.progress, **said})

    def end_epoch(self, run: Run, epoch: EpochMetrics) -> None:
        """Write an epoch's metrics."""
        self._write({"event": "epoch", "run": str(run.pk), "epoch": epoch.epoch, "metrics": epoch.values})

    def end(self, run: Run) -> None:
        """Write the whole record of the run."""
        self._write({"event": "end", **run_record(run)})

    def close(self) -> None:
        """Nothing is held."""

    def _write(self, record: dict[str, Any]) -> None:
        self._out.write(json.dumps(record, default=str) + "\n")
        self._out.flush()


class TerminalView:
    """Two live bars: all epochs, and the batches of this one with rate, metrics and time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn(f"{{task.description:<{_PHASE_WIDTH}}}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=False,
        )
        self._console = console
        self._epochs: TaskID = self._progress.add_task("waiting", total=None, note="")
        self._batches: TaskID | None = None
        self._progress.start()

    def update(self, run: Run, waits: str = "") -> None:
        """Move the bars."""
        p = run.progress
        total = p.get("epochs")
        done = max(0, int(p.get("epoch", 0)) - (0 if p.get("step") == p.get("steps") else 1)) if total else 0
        left = f"{seconds_text(p['left_s'])} left" if p.get("left_s") is not None else ""
        phase = phase_text(run)[:_PHASE_WIDTH]
        self._progress.update(self._epochs, description=phase, total=total, completed=done, note=left or waits)
        if total:
            self._update_batches(p)

    def _update_batches(self, p: dict[str, Any]) -> None:
        if self._batches is None:
            self._batches = self._progress.add_task("", total=p["steps"], note="")
        rate = f"{p['steps_per_s']:.3g} batches/s  " if p.get("steps_per_s") else ""
        rate = f"{p['samples_per_s']:,.0f} samples/s  " if p.get("samples_per_s") else rate
        learning = {name: value for name, value in (p.get("metrics") or {}).items() if not name.startswith("val_")}
        self._progress.update(
            self._batches,
            description=f"epoch {p.get('epoch', 1)}/{p['epochs']}",
            total=p["steps"],
            completed=p.get("step", 0),
            note=rate + metrics_text(learning, digits=3),
        )

    def end_epoch(self, run: Run, epoch: EpochMetrics) -> None:
        """Leave a line above the bars."""
        text = f"  epoch {epoch.epoch}/{_epochs_of(run)}  {metrics_text(epoch.values)}"
        self._progress.console.print(text, highlight=False)

    def end(self, run: Run) -> None:
        """Close the bars and say how it ended."""
        self.close()
        colour = "green" if run.state == "succeeded" else "red"
        self._console.print(end_sentence(run), style=colour, highlight=False, markup=False)

    def close(self) -> None:
        """Give the terminal back."""
        self._progress.stop()
