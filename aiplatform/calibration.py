"""How often a confidence is right: fitted on held-out rows in training, kept in the artifact, applied in monitoring.

`profile/calibration.json`:

    subject     'second_class': from the score of the second of two classes to how often it is the truth;
                'confidence': from the confidence of the predicted label to how often it is right
    method      'isotonic' (Zadrozny and Elkan, KDD 2002): linear between `points`, [log-odds, probability], rising;
                'platt' (Platt, 1999): sigmoid(slope x log-odds + intercept)
    rows        held-out rows on which it was fitted
    accuracy    the model's on these rows
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from aiplatform.errors import ArtifactCorruptError
from aiplatform.scores import sigmoid

CALIBRATION = "profile/calibration.json"
SECOND_CLASS: Literal["second_class"] = "second_class"
CONFIDENCE: Literal["confidence"] = "confidence"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A rising function from log-odds to a probability that means what it says."""

    subject: Literal["second_class", "confidence"]
    method: Literal["isotonic", "platt"]
    rows: int
    accuracy: float
    points: tuple[tuple[float, float], ...] = ()
    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, odds: Array) -> Array:
        """Return calibrated probabilities of log-odds, shape (n,)."""
        if self.method == "platt":
            return sigmoid(self.slope * odds + self.intercept)
        known, values = np.array(self.points).T
        found: Array = np.interp(odds, known, values)
        return found


def encode_calibration(calibration: Calibration) -> bytes:
    """Return JSON."""
    return json.dumps(msgspec.to_builtins(calibration), indent=1).encode()


def decode_calibration(raw: bytes) -> Calibration:
    """Rebuild from `encode_calibration`.

    Raises: ArtifactCorruptError if it is not one.
    """
    try:
        found = msgspec.json.decode(raw, type=Calibration)
    except msgspec.MsgspecError as error:
        raise ArtifactCorruptError(f"{CALIBRATION} cannot be read: {error}") from error
    if found.rows < 1 or (found.method == "isotonic" and not found.points):
        raise ArtifactCorruptError(f"{CALIBRATION} has {found.rows} rows and {len(found.points)} points")
    return found
