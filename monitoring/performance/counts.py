"""What is counted of labelled predictions: all that the measures need, so that windows add up.

Labels are numbered by each window in the order in which it met them; 0 stands for every label beyond
`MAX_LABELS`, 1 for such a label that was said where another such label was true. All counts of
classification are integers and all sums of numbers exact: what is taken back leaves nothing behind.

    confusion   true x STRIDE + predicted
    scores      (class x 2 + is it true) x SCORE_BINS + bin of its log-odds
    segments    ((feature x SEGMENTS + segment) x STRIDE + true) x STRIDE + predicted
    sure        (confidence bin x 3) rows; + 1 of them right; + 2 sum of confidence, in units of 2^-32
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from monitoring.performance.cells import Array, Cells
from monitoring.performance.exact import ExactSum

MAX_LABELS = 200
FIRST_LABEL = 2  # 0 and 1 are the other labels
OTHER, ANOTHER = 0, 1
STRIDE = 65536
SEGMENTS = 64  # of one feature at most
SCORE_BINS = 320  # of 0.1 each, from -16 to 16
CONFIDENCE_BINS = 15  # Guo et al., On Calibration of Modern Neural Networks (2017)
UNIT = 2**32

# Of e, prediction minus truth, and y, the truth: what stands in `numbers` (powers of |e|, e, y).
MOMENTS: tuple[tuple[int, int, int], ...] = (
    (1, 0, 0), (0, 1, 0), (0, 2, 0), (0, 4, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 0, 4), (0, 2, 1), (0, 2, 2),
)  # fmt: skip


@dataclass(kw_only=True)
class Counts:
    """Counts of one window, or of several added up."""

    labels: tuple[str, ...] = ()  # number - FIRST_LABEL is the place
    classes: tuple[str, ...] = ()  # whose scores are counted; of two classes the second's alone
    labelled: int = 0
    confusion: Cells = field(default_factory=Cells)
    sure: Cells = field(default_factory=Cells)
    scores: Cells = field(default_factory=Cells)
    segments: Cells = field(default_factory=Cells)
    scored: int = 0  # rows whose log loss is known
    loss_sum: int = 0  # nats, in units of 2^-32
    loss_square_sum: int = 0
    valued: int = 0
    numbers: tuple[ExactSum, ...] = tuple(ExactSum() for _ in MOMENTS)
    # by feature x SEGMENTS + segment: rows, sum of |e|, of e^2
    valued_segments: dict[int, tuple[int, ExactSum, ExactSum]] = field(default_factory=dict)

    def moment(self, absolute: int, error: int, truth: int) -> ExactSum:
        """Return the sum of |e|^absolute e^error y^truth."""
        return self.numbers[MOMENTS.index((absolute, error, truth))]


def add_up(parts: Sequence[Counts]) -> Counts:
    """Return the sum of windows of one version; labels are matched by name.

    Classes come from the artifact, so they are the same in all; scores of others are left out.
    """
    labels = tuple(dict.fromkeys(label for part in parts for label in part.labels))
    classes = next((part.classes for part in parts if part.classes), ())
    segments: dict[int, tuple[int, ExactSum, ExactSum]] = {}
    for part in parts:
        add_valued_segments(segments, part.valued_segments)
    return Counts(
        labels=labels,
        classes=classes,
        labelled=sum(part.labelled for part in parts),
        confusion=Cells.total([_renumber(part.confusion, part.labels, labels) for part in parts]),
        sure=Cells.total([part.sure for part in parts]),
        scores=Cells.total([part.scores for part in parts if part.classes == classes]),
        segments=Cells.total([_renumber(part.segments, part.labels, labels) for part in parts]),
        scored=sum(part.scored for part in parts),
        loss_sum=sum(part.loss_sum for part in parts),
        loss_square_sum=sum(part.loss_square_sum for part in parts),
        valued=sum(part.valued for part in parts),
        numbers=_add_numbers([part.numbers for part in parts]),
        valued_segments=segments,
    )


def add_valued_segments(
    into: dict[int, tuple[int, ExactSum, ExactSum]], more: dict[int, tuple[int, ExactSum, ExactSum]]
) -> None:
    """Add counts by segment; what becomes nothing goes."""
    for key, (rows, absolute, square) in more.items():
        known = into.get(key, (0, ExactSum(), ExactSum()))
        into[key] = (known[0] + rows, known[1].plus(absolute), known[2].plus(square))
        if not into[key][0] and not into[key][1].mantissa and not into[key][2].mantissa:
            del into[key]


def _add_numbers(parts: Sequence[tuple[ExactSum, ...]]) -> tuple[ExactSum, ...]:
    totals = [ExactSum() for _ in MOMENTS]
    for part in parts:
        totals = [total.plus(more) for total, more in zip(totals, part, strict=True)]
    return tuple(totals)


def _renumber(cells: Cells, mine: tuple[str, ...], wanted: tuple[str, ...]) -> Cells:
    """Return cells whose last two places are labels, numbered as `wanted` has them."""
    if mine == wanted[: len(mine)] or not len(cells.numbers):
        return cells
    places = {label: number for number, label in enumerate(wanted, FIRST_LABEL)}
    translated: Array = np.array([OTHER, ANOTHER, *(places[label] for label in mine)], np.int64)
    rest, predicted = np.divmod(cells.numbers, STRIDE)
    group, true = np.divmod(rest, STRIDE)
    return Cells((group * STRIDE + translated[true]) * STRIDE + translated[predicted], cells.counts)


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    integers: tuple[int, ...]
    cells: tuple[tuple[bytes, str, bytes, str], ...]
    sums: tuple[str, ...]
    numbers: tuple[str, ...]
    valued_segments: tuple[tuple[int, int, str, str], ...]


def pack_counts(counts: Counts) -> bytes:
    """Return the counts as a row of the database holds them."""
    stored = _Stored(
        labels=counts.labels,
        classes=counts.classes,
        integers=(counts.labelled, counts.scored, counts.valued),
        cells=tuple(c.pack() for c in (counts.confusion, counts.sure, counts.scores, counts.segments)),
        sums=(f"{counts.loss_sum:x}", f"{counts.loss_square_sum:x}"),
        numbers=tuple(number.to_text() for number in counts.numbers) if counts.valued else (),
        valued_segments=tuple((k, n, a.to_text(), s.to_text()) for k, (n, a, s) in counts.valued_segments.items()),
    )
    return zlib.compress(msgspec.msgpack.encode(stored), 1)


def unpack_counts(raw: bytes | memoryview) -> Counts:
    """Rebuild from `pack_counts`; no bytes are no counts."""
    if not raw:
        return Counts()
    stored = msgspec.msgpack.decode(zlib.decompress(bytes(raw)), type=_Stored)
    confusion, sure, scores, segments = (Cells.unpack(*packed) for packed in stored.cells)
    labelled, scored, valued = stored.integers
    return Counts(
        labels=stored.labels,
        classes=stored.classes,
        labelled=labelled,
        confusion=confusion,
        sure=sure,
        scores=scores,
        segments=segments,
        scored=scored,
        loss_sum=int(stored.sums[0], 16),
        loss_square_sum=int(stored.sums[1], 16),
        valued=valued,
        numbers=tuple(ExactSum.from_text(t) for t in stored.numbers) or Counts().numbers,
        valued_segments={k: (n, ExactSum.from_text(a), ExactSum.from_text(s)) for k, n, a, s in stored.valued_segments},
    )
