"""From single predictions whose truth is known to counts; a minus sign takes them back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.scores import LIMIT, MISSING, decode_odds
from monitoring.performance.cells import Cells
from monitoring.performance.counts import (
    ANOTHER,
    CONFIDENCE_BINS,
    FIRST_LABEL,
    MAX_LABELS,
    MOMENTS,
    OTHER,
    SCORE_BINS,
    SEGMENTS,
    STRIDE,
    UNIT,
    Counts,
    add_valued_segments,
)
from monitoring.performance.exact import ExactSum

NO_SEGMENT = 255


@dataclass(frozen=True, kw_only=True)
class LabelledRow:
    """One prediction and its truth: labels, or numbers. `sign` is -1 for what was said before and no longer holds."""

    true_label: str | None = None
    predicted_label: str | None = None
    true_value: float | None = None
    predicted_value: float | None = None
    confidence: float | None = None
    score_codes: Sequence[int] = ()
    classes: Sequence[str] = ()
    segments: bytes = b""  # by feature, NO_SEGMENT: in none
    sign: int = 1


def count_rows(rows: Iterable[LabelledRow], *, known: Counts) -> Counts:
    """Return what rows add to a window that has counted `known`, whose numbering of labels is kept."""
    counting = _Counting(known)
    for row in rows:
        counting.add(row)
    return counting.finish()


class _Counting:
    def __init__(self, known: Counts) -> None:
        self._labels = {label: number for number, label in enumerate(known.labels, FIRST_LABEL)}
        self._classes = known.classes
        self._integers: Counter[str] = Counter()
        self._cells: dict[str, Counter[int]] = {name: Counter() for name in ("confusion", "sure", "scores", "segments")}
        self._numbers = list(Counts().numbers)
        self._valued_segments: dict[int, tuple[int, ExactSum, ExactSum]] = {}

    def add(self, row: LabelledRow) -> None:
        if row.true_label is not None and row.predicted_label is not None:
            self._add_label(row, row.true_label, row.predicted_label)
        elif row.true_value is not None and row.predicted_value is not None:
            self._add_value(row, row.true_value, row.predicted_value)

    def finish(self) -> Counts:
        return Counts(
            labels=tuple(self._labels),
            classes=tuple(self._classes),
            numbers=tuple(self._numbers),
            valued_segments=self._valued_segments,
            confusion=Cells.of(self._cells["confusion"]),
            sure=Cells.of(self._cells["sure"]),
            scores=Cells.of(self._cells["scores"]),
            segments=Cells.of(self._cells["segments"]),
            labelled=self._integers["labelled"],
            scored=self._integers["scored"],
            valued=self._integers["valued"],
            loss_sum=self._integers["loss_sum"],
            loss_square_sum=self._integers["loss_square_sum"],
        )

    def _add_label(self, row: LabelledRow, truth: str, said: str) -> None:
        true, predicted = self._number(truth), self._number(said)
        if true == OTHER and predicted == OTHER and truth != said:
            predicted = ANOTHER
        self._integers["labelled"] += row.sign
        self._cells["confusion"][true * STRIDE + predicted] += row.sign
        for feature, segment in enumerate(row.segments):
            if segment != NO_SEGMENT:
                place = (feature * SEGMENTS + segment) * STRIDE + true
                self._cells["segments"][place * STRIDE + predicted] += row.sign
        if row.confidence is not None and 0.0 <= row.confidence <= 1.0:
            self._add_confidence(row.confidence, is_right=truth == said, sign=row.sign)
        if row.score_codes:
            self._add_scores(row, truth)

    def _number(self, label: str) -> int:
        if label in self._labels:
            return self._labels[label]
        if len(self._labels) >= MAX_LABELS:
            return OTHER
        return self._labels.setdefault(label, len(self._labels) + FIRST_LABEL)

    def _add_confidence(self, confidence: float, *, is_right: bool, sign: int) -> None:
        sure = self._cells["sure"]
        place = 3 * min(CONFIDENCE_BINS - 1, int(confidence * CONFIDENCE_BINS))
        sure[place] += sign
        sure[place + 1] += sign * is_right
        sure[place + 2] += sign * round(confidence * UNIT)

    def _add_scores(self, row: LabelledRow, truth: str) -> None:
        self._classes = self._classes or tuple(row.classes)
        if tuple(row.classes) != tuple(self._classes) or truth not in self._classes or MISSING in row.score_codes:
            return
        place, odds = self._classes.index(truth), decode_odds(np.array(row.score_codes))
        columns: Any = [(1, odds[0])] if len(self._classes) == 2 else enumerate(odds)
        for column, value in columns:
            bin_ = min(SCORE_BINS - 1, int((value + LIMIT) * (SCORE_BINS / (2 * LIMIT))))
            self._cells["scores"][(column * 2 + (column == place)) * SCORE_BINS + bin_] += row.sign
        of_truth = odds[place] if len(self._classes) > 2 else (odds[0] if place else -odds[0])
        loss = math.log1p(math.exp(-of_truth))  # -ln p of the true class
        self._integers["scored"] += row.sign
        self._integers["loss_sum"] += row.sign * round(loss * UNIT)
        self._integers["loss_square_sum"] += row.sign * round(loss * loss * UNIT)

    def _add_value(self, row: LabelledRow, truth: float, said: float) -> None:
        error = said - truth
        if not math.isfinite(error):
            return
        self._integers["valued"] += row.sign
        for place, (absolute, errors, truths) in enumerate(MOMENTS):
            powers = ExactSum.of(abs(error), absolute).times(ExactSum.of(error, errors))
            amount = powers.times(ExactSum.of(truth, truths))
            self._numbers[place] = self._numbers[place].plus(amount, sign=row.sign)
        absolute_error, square = ExactSum.of(abs(error)), ExactSum.of(error, 2)
        signed = (row.sign, ExactSum().plus(absolute_error, sign=row.sign), ExactSum().plus(square, sign=row.sign))
        for feature, segment in enumerate(row.segments):
            if segment != NO_SEGMENT:
                add_valued_segments(self._valued_segments, {feature * SEGMENTS + segment: signed})
