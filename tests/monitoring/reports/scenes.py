"""Versions in good and bad shape, as monitoring knows them after an hour of traffic."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from aiplatform.contracts.monitoring import FeedbackItem
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import make_batch

LABELS = [str(digit) for digit in range(10)]
NUMBERS = ("brightness", "contrast", "sharpness", "fill", "age", "amount")


class Scene:
    """A model of numbers and a category that was 95% accurate in training."""

    def __init__(
        self, folder: Path, *, seed: int = 0, columns: int = 0, has_profile: bool = True, dimensions: int = 0
    ) -> None:  # fmt: skip
        self.random = np.random.default_rng(seed)
        self.names = [*NUMBERS, *(f"column_{i:03}" for i in range(columns))]
        features = {name: self.random.normal(100, 10, 3000) for name in self.names}
        features["purpose"] = self.random.choice(["car", "house", "school"], 3000, p=[0.5, 0.3, 0.2]).astype(object)
        outputs = {
            "label": self.random.choice(LABELS, 3000).astype(object),
            "confidence": self.random.beta(30, 2, 3000),
        }  # fmt: skip
        self.dimensions = dimensions
        self.uri, self.digest = write_artifact(
            folder, features if has_profile else None, outputs, metrics={"accuracy": 0.95},
            embeddings=self.random.normal(size=(1000, dimensions)) if dimensions else None,
        )  # fmt: skip

    def record(
        self, *, now: datetime, version: int = 1, minutes: int = 60, rows: int = 40, shift: float = 0.0,
        drifted: int = 2, errors: float = 0.001, right: float = 0.95, labelled: float = 0.3, latency_ms: float = 5.0,
        endpoint: str = "digits", wild: bool = False, turned: int = 0,
    ) -> None:  # fmt: skip
        """Record traffic of the last minutes; the first `drifted` numbers are shifted, `wild` adds a new category.

        The first `turned` dimensions of the embedding are moved.
        """
        moved = (np.arange(self.dimensions) < turned) * 1.5
        batches, known = [], []
        for minute in range(minutes, 0, -1):
            time = now - timedelta(minutes=minute)
            ids = [f"{endpoint}-{version}-{minute}-{i}" for i in range(rows)]
            truth = [LABELS[i] for i in self.random.integers(0, 10, rows)]
            said = [t if self.random.random() < right else LABELS[(int(t) + 1) % 10] for t in truth]
            purposes = ["car", "house", "school", "boat"] if wild else ["car", "house", "school"]
            weights = [0.3, 0.2, 0.1, 0.4] if wild else [0.5, 0.3, 0.2]
            numeric = {
                name: self.random.normal(100 + (shift if place < drifted else 0.0), 10, rows)
                for place, name in enumerate(self.names)
            }
            batch = make_batch(
                rows, time=time, endpoint=endpoint, version=version, ids=ids, labels=said, numeric=numeric,
                categories={"purpose": list(self.random.choice(purposes, rows, p=weights))},
                statuses=[500 if self.random.random() < errors else 200 for _ in range(rows)],
                latency_ms=list(self.random.lognormal(np.log(latency_ms), 0.3, rows)),
                confidences=list(self.random.beta(30, 2, rows)), uri=self.uri, digest=self.digest,
                embedding=self.random.normal(moved, size=(rows, self.dimensions)) if self.dimensions else None,
            )  # fmt: skip
            batches.append(batch)
            known += [
                FeedbackItem(prediction_id=id_, label=label)
                for id_, label in zip(ids, truth, strict=True)
                if self.random.random() < labelled
            ]
        record_predictions(batches=batches, now=now)
        if known:
            record_feedback(items=known, now=now)
