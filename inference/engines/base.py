"""What every engine does, whatever framework is inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Arrays = dict[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine may use the machine. `threads` 0 leaves the choice to the framework."""

    threads: int = 0


class Engine(Protocol):
    """A loaded model. One thread at a time calls it."""

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order.

        Shapes: as the manifest's signature says; all inputs have the same number of rows.
        """

    def close(self) -> None:
        """Give the model's memory back."""
