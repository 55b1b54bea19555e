"""What the classic network is in every framework: its parameters, and the sizes of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiplatform.errors import InvalidInputError
from training.recipes import augmentation
from training.recipes.parameters import FitParameters, parameter
from training.recipes.schedules import COSINE, SCHEDULES

SMALLEST_PADDED = 4  # 4 -> 4 -> 2 -> 2 -> 1


@dataclass(frozen=True, kw_only=True)
class ClassicCnnParameters(FitParameters):
    """What can be chosen."""

    epochs: int = parameter(8, minimum=1, maximum=10_000, help="How often all training rows are seen.")
    learning_rate: float = parameter(0.002, minimum=1e-8, maximum=10.0, help="Step size of the optimizer (Adam).")
    schedule: str = parameter(
        COSINE, choices=SCHEDULES, help="How the learning rate goes: it stays, or falls to 0 along a line or a cosine."
    )
    dropout: float = parameter(0.25, minimum=0.0, maximum=0.9, help="Share of features left out while learning.")
    augment: str = parameter("", help=augmentation.HELP)

    def __post_init__(self) -> None:
        augmentation.parse_augmentation(self.augment)


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
