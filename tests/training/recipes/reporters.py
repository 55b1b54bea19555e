"""Reporters that remember, and that ask for a stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.recipes.api import StopRequestedError


@dataclass
class RememberingReporter:
    """Keeps all that it is told; asks to stop at the given (epoch, step)."""

    stop_at: tuple[int, int] | None = None
    begun: list[tuple[int, int]] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    sources: list[Mapping[str, Any]] = field(default_factory=list)

    def describe_data(self, sources: Sequence[Mapping[str, Any]]) -> None:
        self.sources = list(sources)

    def begin(self, *, epochs: int, steps_per_epoch: int, rows_per_epoch: int = 0) -> None:
        self.begun.append((epochs, steps_per_epoch))

    def step(self, *, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        self.steps.append((epoch, step))
        if (epoch, step) == self.stop_at:
            raise StopRequestedError

    def end_epoch(self, *, epoch: int, metrics: Mapping[str, float]) -> None:
        self.epochs.append({"epoch": epoch, **metrics})

    def log(self, message: str) -> None:
        self.messages.append(message)
