"""Labelled rows for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aiplatform.scores import encode_scores
from monitoring.performance.counts import Counts, add_up
from monitoring.performance.labelled_rows import LabelledRow, count_rows

Array = np.ndarray[Any, Any]


def labelled(
    truth: Sequence[int], probabilities: Array, *, names: Sequence[str] = (), sign: int = 1
) -> list[LabelledRow]:
    """Return rows as the platform makes them of probabilities, shape (n, classes)."""
    classes = tuple(names) or tuple(str(i) for i in range(probabilities.shape[1]))
    codes = encode_scores(probabilities)
    best = probabilities.argmax(axis=1)
    return [
        LabelledRow(
            true_label=classes[t],
            predicted_label=classes[b],
            confidence=float(p[b]),
            score_codes=() if codes is None else tuple(codes[i].tolist()),
            classes=classes,
            sign=sign,
        )
        for i, (t, b, p) in enumerate(zip(truth, best, probabilities, strict=True))
    ]


def valued(truth: Sequence[float], said: Sequence[float], *, segments: bytes = b"", sign: int = 1) -> list[LabelledRow]:
    """Return rows of numbers."""
    return [
        LabelledRow(true_value=t, predicted_value=s, segments=segments, sign=sign)
        for t, s in zip(truth, said, strict=True)
    ]


def count(rows: Sequence[LabelledRow], *, windows: int = 1) -> Counts:
    """Return the counts of rows, spread over several windows."""
    return add_up([count_rows(rows[i::windows], known=Counts()) for i in range(windows)])


def random_probabilities(rows: int, classes: int, *, seed: int, skill: float = 2.0) -> tuple[Array, Array]:
    """Return (truth, probabilities) of a model that is right more often the more skill it has."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, rows)
    logits = random.normal(0, 1, (rows, classes))
    logits[np.arange(rows), truth] += skill
    exp = np.exp(logits)
    return truth, (exp / exp.sum(axis=1, keepdims=True)).astype(np.float32)
