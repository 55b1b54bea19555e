"""Texts as numbers, for frameworks without texts: training and serving do it with this same code.

PyTorch has no tensors of texts. A model of such a framework takes each text as its first bytes of UTF-8, filled up
with zeros; the artifact's manifest says how many bytes of which input (`Manifest.text_bytes`). Over the wire the
input stays BYTES.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def encode_text_bytes(texts: Array, width: int) -> Array:
    """Return the first `width` bytes of each text, uint8, zeros behind a shorter one.

    Shapes: texts (...), of `bytes` or `str`; the result (..., width).
    """
    encoded = [value if isinstance(value, bytes) else str(value).encode() for value in texts.ravel().tolist()]
    fixed = np.array(encoded, dtype=f"S{width}")  # cuts what is longer
    return fixed.view(np.uint8).reshape(*texts.shape, width)


def encode_text_inputs(inputs: dict[str, Array], widths: Mapping[str, int]) -> dict[str, Array]:
    """Return the inputs with those of `widths` as bytes, and all others as they are; of none, the same mapping."""
    if not widths:
        return inputs
    return {name: encode_text_bytes(a, widths[name]) if name in widths else a for name, a in inputs.items()}
