"""Performance apart by the values of each feature, and where it is worse than elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from monitoring.performance.cells import Array, Cells
from monitoring.performance.classification import (
    average_f1,
    average_precision,
    average_recall,
    confusion_matrix,
)
from monitoring.performance.counts import SEGMENTS, STRIDE, Counts
from monitoring.performance.exact import ExactSum
from monitoring.performance.intervals import differs, normal, share
from monitoring.performance.results import Estimate, SegmentResult
from monitoring.performance.segments import Segmentation

MIN_ROWS = 30  # below, a segment is shown and never called worse


def measure_segments(counts: Counts, segmentation: Segmentation) -> tuple[SegmentResult, ...]:
    """Return every segment with labelled rows, those that are worse first."""
    found = list(_labelled(counts, segmentation)) + list(_valued(counts, segmentation))
    return tuple(sorted(found, key=lambda s: (not s.is_worse, s.feature)))


def _labelled(counts: Counts, segmentation: Segmentation) -> Iterator[SegmentResult]:
    groups, pairs = np.divmod(counts.segments.numbers, STRIDE * STRIDE)
    for feature, segment, name, size in _places(segmentation, groups):
        mine = _choose(counts.segments, pairs, groups == feature * SEGMENTS + segment)
        all_ = _choose(counts.segments, pairs, groups // SEGMENTS == feature)
        right, rows = _right(mine), int(mine.counts.sum())
        rest_right, rest_rows = _right(all_) - right, int(all_.counts.sum()) - rows
        if rows <= 0:
            continue
        score, rest = share(right, rows), share(rest_right, rest_rows)
        _, matrix = confusion_matrix(mine, counts.labels)
        yield SegmentResult(
            feature=segmentation.features[feature].feature,
            segment=name,
            labelled=rows,
            score=score,
            rest=rest,
            is_worse=_is_worse(
                score, rest, -1, _share_variance(right, rows), _share_variance(rest_right, rest_rows), size
            ),
            precision=average_precision(matrix).macro.value,
            recall=average_recall(matrix).macro.value,
            f1=average_f1(matrix).macro.value,
        )


def _valued(counts: Counts, segmentation: Segmentation) -> Iterator[SegmentResult]:
    for feature, segments in enumerate(segmentation.features):
        sums = {s: counts.valued_segments.get(feature * SEGMENTS + s) for s in range(len(segments.names))}
        known = {s: found for s, found in sums.items() if found is not None and found[0] > 0}
        for place, mine in known.items():
            others = [found for s, found in known.items() if s != place]
            score, variance = _mean_error(mine)
            rest, rest_variance = _mean_error(_add(others))
            yield SegmentResult(
                feature=segments.feature,
                segment=segments.names[place],
                labelled=mine[0],
                score=score,
                rest=rest,
                is_worse=_is_worse(score, rest, 1, variance, rest_variance, len(known)),
            )


def _places(segmentation: Segmentation, groups: Array) -> Iterator[tuple[int, int, str, int]]:
    """Give the segments that occur: places of feature and segment, name, and how many occur of the feature."""
    seen = np.unique(groups).tolist()
    for group in seen:
        feature, segment = divmod(group, SEGMENTS)
        if feature < len(segmentation.features) and segment < len(segmentation.features[feature].names):
            size = sum(1 for other in seen if other // SEGMENTS == feature)
            yield feature, segment, segmentation.features[feature].names[segment], size


def _choose(cells: Cells, pairs: Array, chosen: Array) -> Cells:
    return Cells.summed(pairs[chosen], cells.counts[chosen])


def _right(cells: Cells) -> int:
    true, predicted = np.divmod(cells.numbers, STRIDE)
    return int(cells.counts[true == predicted].sum())


def _share_variance(right: int, rows: int) -> float:
    """Return the variance of a share with half a count added to each side, so that it is never 0."""
    smoothed = (right + 0.5) / (rows + 1)
    return smoothed * (1 - smoothed) / max(1, rows)


def _is_worse(
    score: Estimate, rest: Estimate, sign: int, variance: float, rest_variance: float, comparisons: int
) -> bool:
    if score.value is None or rest.value is None or min(score.samples, rest.samples) < MIN_ROWS:
        return False
    is_behind = sign * (score.value - rest.value) > 0
    return is_behind and differs((score.value, variance), (rest.value, rest_variance), comparisons=comparisons)


def _add(sums: list[tuple[int, ExactSum, ExactSum]]) -> tuple[int, ExactSum, ExactSum]:
    rows, absolute, square = 0, ExactSum(), ExactSum()
    for more in sums:
        rows, absolute, square = rows + more[0], absolute.plus(more[1]), square.plus(more[2])
    return rows, absolute, square


def _mean_error(sums: tuple[int, ExactSum, ExactSum]) -> tuple[Estimate, float]:
    rows = sums[0]
    if rows <= 0:
        return Estimate(), math.inf
    mean, square = sums[1].fraction() / rows, sums[2].fraction() / rows
    variance = float(square - mean**2) / max(1, rows - 1)
    return normal(float(mean), variance, rows, least=0.0), variance
