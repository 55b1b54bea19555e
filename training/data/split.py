"""Which rows are held out, by a rule that can be repeated: seed, order, time, group, or a column that says it.

split=seed             at random by the run's seed, each class in the same proportions (the usual)
split=ordered          as the source has them: the last rows are held out
split=time:COLUMN      the latest rows are held out; rows of the same moment stay together
split=group:COLUMN     whole groups are held out, chosen by seed: no group is on both sides
split=column:COLUMN    the column names each row's part: train, validation or test
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from training.data.dataset import Array

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1

SEED, ORDERED, TIME, GROUP, COLUMN = "seed", "ordered", "time", "group", "column"
TRAIN, VALIDATION, TEST = "training", "validation", "test"
PART_NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """How rows are split. `column` is empty for 'seed' and 'ordered'."""

    kind: str = SEED
    column: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.column}" if self.column else self.kind


BY_SEED = SplitRule()


@dataclass(frozen=True, kw_only=True)
class PartRows:
    """Sorted row indices of each part; no row is in two."""

    train: Array
    validation: Array
    test: Array


def parse_split(text: str) -> SplitRule:
    """Return the rule that a `split=` option names; empty: by seed.

    Raises: InvalidInputError if there is no such rule.
    """
    kind, colon, column = text.strip().partition(":")
    if kind in (SEED, ORDERED) and not colon:
        return SplitRule(kind=kind)
    if kind in (TIME, GROUP, COLUMN) and column.strip():
        return SplitRule(kind=kind, column=column.strip())
    if not text.strip():
        return SplitRule()
    raise InvalidInputError(
        f"option 'split' must be seed, ordered, time:COLUMN, group:COLUMN or column:COLUMN, not '{text}'"
    )


def split_parts(labels: Array, *, rule: SplitRule, seed: int, values: Array | None = None) -> PartRows:
    """Return which rows are for training, validation and testing.

    Shapes: labels (n,); values (n,), those of the rule's column: numbers for 'time', anything for 'group' and
    'column'. Raises: InvalidInputError if the rule cannot be kept with these rows.
    """
    everything = np.arange(len(labels))
    if rule.kind == COLUMN:
        return _named_parts(labels, _required(values, rule), seed=seed, rule=rule)
    rest, test = _hold_out(everything, labels, values, share=TEST_SHARE, rule=rule, seed=seed)
    train, validation = _hold_out(rest, labels, values, share=VALIDATION_SHARE, rule=rule, seed=seed)
    return PartRows(train=train, validation=validation, test=test)


def hold_out(
    labels: Array, *, share: float, rule: SplitRule, seed: int, values: Array | None = None
) -> tuple[Array, Array]:
    """Return sorted row indices (kept, held out) of rows that are one part so far.

    Raises: InvalidInputError if none can be held out by this rule.
    """
    return _hold_out(np.arange(len(labels)), labels, values, share=share, rule=rule, seed=seed)


def _hold_out(
    rows: Array, labels: Array, values: Array | None, *, share: float, rule: SplitRule, seed: int
) -> tuple[Array, Array]:
    if rule.kind == ORDERED:
        kept, held = _last_rows(len(rows), share)
    elif rule.kind == TIME:
        kept, held = _latest_rows(_required(values, rule)[rows], share, rule)
    elif rule.kind == GROUP:
        kept, held = _whole_groups(_required(values, rule)[rows], share, seed, rule)
    else:
        kept, held = split_rows(labels[rows], share=share, seed=seed)
    if not len(held) or not len(kept):
        raise InvalidInputError(f"{len(rows)} rows are too few to hold some out for testing (split={rule})")
    return rows[kept], rows[held]


def split_rows(labels: Array, *, share: float, seed: int) -> tuple[Array, Array]:
    """Return sorted row indices (kept, held out); about `share` of each class is held out.

    Shapes: labels (n,), classes (whole numbers) or amounts (fractions), of which tenths are held out alike. A class
    of one row is kept whole. The same labels, share and seed give the same rows.
    """
    if labels.ndim > 1:
        labels = np.zeros(len(labels), dtype=np.int64)  # of boxes: any image may be held out
    elif labels.dtype.kind == "f":
        labels = np.searchsorted(np.quantile(labels, np.arange(0.1, 1.0, 0.1)), labels)
    random = np.random.default_rng([seed, len(labels)])
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]  # classes together, random within
    _, sizes = np.unique(labels, return_counts=True)
    rank = np.concatenate([np.arange(size) for size in sizes]) if len(sizes) else np.zeros(0, int)
    quota = np.repeat(np.rint(sizes * share).astype(int), sizes)
    held_out = rank < quota
    return np.sort(by_class[~held_out]), np.sort(by_class[held_out])


def _last_rows(count: int, share: float) -> tuple[Array, Array]:
    first = count - math.ceil(count * share)
    return np.arange(first), np.arange(first, count)


def _latest_rows(moments: Array, share: float, rule: SplitRule) -> tuple[Array, Array]:
    """Cut at a moment: all rows from it on are held out, at least `share` of them where there are moments enough."""
    ordered = np.sort(moments)
    if ordered[0] == ordered[-1]:
        raise InvalidInputError(f"split={rule}: all {len(moments)} rows have the same moment; none is later")
    cut = ordered[len(ordered) - math.ceil(len(ordered) * share)]
    if cut == ordered[0]:  # most rows are of the first moment: only the later ones can be held out
        cut = ordered[np.searchsorted(ordered, cut, side="right")]
    late = moments >= cut
    return np.flatnonzero(~late), np.flatnonzero(late)


def _whole_groups(values: Array, share: float, seed: int, rule: SplitRule) -> tuple[Array, Array]:
    """Hold out groups in an order by seed: each that brings their rows nearer to `share`."""
    groups, codes, sizes = np.unique(values, return_inverse=True, return_counts=True)
    if len(groups) < 2:
        raise InvalidInputError(f"split={rule} needs a group for each part; there are too few ({len(groups)} left)")
    order = np.random.default_rng([seed, len(groups)]).permutation(len(groups))
    wanted, taken, chosen = len(values) * share, 0, []
    for group in order.tolist():
        if abs(taken + sizes[group] - wanted) < abs(taken - wanted):
            taken += int(sizes[group])
            chosen.append(group)
    held = np.isin(codes, chosen or [int(np.argmin(sizes))])  # all groups are too large: the smallest
    return np.flatnonzero(~held), np.flatnonzero(held)


def _named_parts(labels: Array, values: Array, *, seed: int, rule: SplitRule) -> PartRows:
    names = np.array([str(value).strip().lower() for value in values.tolist()], dtype=object)
    rows: dict[str, Array] = {}
    for name in sorted(set(names.tolist())):
        if name not in PART_NAMES:
            row = int(np.flatnonzero(names == name)[0]) + 1
            raise InvalidInputError(f"split={rule}: values must be train, validation or test, not '{name}' (row {row})")
        part = PART_NAMES[name]
        rows[part] = np.sort(np.concatenate([rows.get(part, np.zeros(0, int)), np.flatnonzero(names == name)]))
    if TRAIN not in rows:
        raise InvalidInputError(f"split={rule}: no row is for training; the column has {', '.join(sorted(rows))}")
    for part, share in ((TEST, TEST_SHARE), (VALIDATION, VALIDATION_SHARE)):
        if part not in rows:
            rest = rows[TRAIN]
            rows[TRAIN], rows[part] = _hold_out(rest, labels, None, share=share, rule=SplitRule(), seed=seed)
    return PartRows(train=rows[TRAIN], validation=rows[VALIDATION], test=rows[TEST])


def _required(values: Any, rule: SplitRule) -> Array:
    if values is None:
        raise InvalidInputError(
            f"split={rule} needs a table with the column '{rule.column}'; this source has no columns"
        )
    return np.asarray(values)
