"""Which padding lets two 3x3 convolutions with 2x2 pooling leave something of an image."""

from __future__ import annotations

from typing import Literal

from aiplatform.errors import InvalidInputError

SMALLEST_PADDED = 4  # 4 -> 4 -> 2 -> 2 -> 1


def pooled_size(size: int, padding: Literal["valid", "same"]) -> int:
    """Return what two rounds of convolution and pooling leave of one side, in pixels."""
    border = 2 if padding == "valid" else 0
    return ((size - border) // 2 - border) // 2


def choose_padding(height: int, width: int) -> Literal["valid", "same"]:
    """Return 'valid', the classic, where it leaves a pixel; else 'same'.

    Raises: InvalidInputError if the image is too small for either.
    """
    smallest = min(height, width)
    if smallest < SMALLEST_PADDED:
        raise InvalidInputError(
            f"images must be at least {SMALLEST_PADDED}x{SMALLEST_PADDED} pixels, not {height}x{width}"
        )
    return "valid" if pooled_size(smallest, "valid") >= 1 else "same"
