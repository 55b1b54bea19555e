"""Shape buckets: rows of different lengths are padded to a common one, so that they can share a batch.

What may be padded, to which sizes and with what, only the model's maker knows: the artifact
declares it (`Manifest.padding`). Outputs that follow the padded axis are cut back to each request's own size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from aiplatform.artifacts import Padding
from aiplatform.errors import InvalidInputError
from inference.scheduler.job import Array, Arrays

Sizes = tuple[int, ...]  # before padding, one a rule


def pad_inputs(inputs: Arrays, rules: Sequence[Padding]) -> tuple[Arrays, Sizes]:
    """Return the inputs padded to their buckets, and the sizes they had.

    Raises: InvalidInputError beyond the largest bucket.
    """
    padded, sizes = dict(inputs), []
    for rule in rules:
        array = padded[rule.input]
        size = array.shape[rule.axis]
        sizes.append(size)
        padded[rule.input] = _pad(array, rule, size)
    return padded, tuple(sizes)


def cut_outputs(outputs: Arrays, rules: Sequence[Padding], sizes: Sizes) -> Arrays:
    """Return the outputs without what stands for padding."""
    cut = dict(outputs)
    for rule, size in zip(rules, sizes, strict=True):
        for name in rule.outputs:
            index = [slice(None)] * cut[name].ndim
            index[rule.axis] = slice(0, size)
            cut[name] = cut[name][tuple(index)]
    return cut


def _pad(array: Array, rule: Padding, size: int) -> Array:
    place = bisect_left(rule.sizes, size)
    if place == len(rule.sizes):
        raise InvalidInputError(
            f"input '{rule.input}': dimension {rule.axis} is at most {rule.sizes[-1]} (the artifact's largest bucket), "
            f"not {size}"
        )
    missing = rule.sizes[place] - size
    if not missing:
        return array
    widths = [(0, 0)] * array.ndim
    widths[rule.axis] = (0, missing)
    return np.pad(array, widths, constant_values=rule.value)
