"""Random changes of training images, declared in a recipe's parameters: `augment=flip,shift=2,rotate=15,noise=8`.

They are made on the way from the data to the learner, so that the network, and with it the served model, knows nothing
of them. What is changed, and how, follows from seed, epoch, step and the number of the process in its team alone: a run
that goes on from a checkpoint learns from the same pictures as an unbroken one. Validation and test rows are never
changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aiplatform.errors import InvalidConfigurationError
from training.data.dataset import Array

HELP = (
    "Random changes of training images: flip, flip_vertical, shift=PIXELS, rotate=DEGREES, zoom=SHARE, "
    "brightness=SHARE, contrast=SHARE, noise=DEVIATION (of 255), erase=SHARE; empty: none."
)
_STREAM = 0xA06  # keeps these random numbers apart from those that shuffle rows


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The largest value of a change, and that of one named without a value (None: it needs one)."""

    maximum: float
    default: float | None = None


CHANGES: Mapping[str, Bound] = {
    "flip": Bound(maximum=1.0, default=0.5),
    "flip_vertical": Bound(maximum=1.0, default=0.5),
    "shift": Bound(maximum=1000.0),
    "rotate": Bound(maximum=180.0),
    "zoom": Bound(maximum=0.9),
    "brightness": Bound(maximum=1.0),
    "contrast": Bound(maximum=1.0),
    "noise": Bound(maximum=255.0),
    "erase": Bound(maximum=0.9),
}


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much images are changed at most. `flip` and `flip_vertical` are probabilities; 0: not at all."""

    flip: float = 0.0
    flip_vertical: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    erase: float = 0.0

    def apply(self, images: Array, *, seed: int, epoch: int, step: int, rank: int = 0) -> Array:
        """Return changed images, clipped to 0 to 255; each member of a team (`rank`) changes its own share.

        Shapes: images (n, height, width, channels), float32, 0 to 255; a new array of the same shape comes back.
        """
        random = np.random.default_rng([seed, epoch, step, _STREAM, *([rank] if rank else [])])
        changed = self._flip(images.astype(np.float32), random)
        if self.rotate or self.zoom:
            changed = _resample(changed, self._transforms(len(images), random))
        elif self.shift:
            changed = _shift(changed, self._offsets(len(images), random).astype(np.int64))
        changed = self._shade(changed, random)
        if self.erase:
            _erase(changed, self.erase, random)
        return np.clip(changed, 0.0, 255.0)

    def _flip(self, images: Array, random: np.random.Generator) -> Array:
        for share, axis in ((self.flip, 2), (self.flip_vertical, 1)):
            if share:
                chosen = random.random(len(images)) < share
                images[chosen] = np.flip(images[chosen], axis=axis)
        return images

    def _offsets(self, count: int, random: np.random.Generator) -> Array:
        """Return whole pixels down and to the right, shape (n, 2)."""
        most = int(self.shift)
        return random.integers(-most, most, (count, 2), endpoint=True).astype(np.float32)

    def _transforms(self, count: int, random: np.random.Generator) -> tuple[Array, Array]:
        """Return matrices (n, 2, 2) and offsets (n, 2) that take a place in the new image to one in the old."""
        angle = np.deg2rad(random.uniform(-self.rotate, self.rotate, count))
        scale = 1.0 / random.uniform(1.0 - self.zoom, 1.0 + self.zoom, count)
        cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
        matrices = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
        return matrices.astype(np.float32), -self._offsets(count, random)

    def _shade(self, images: Array, random: np.random.Generator) -> Array:
        each = (len(images), 1, 1, 1)
        if self.contrast:
            mean = images.mean(axis=(1, 2, 3), keepdims=True)
            factor = random.uniform(1.0 - self.contrast, 1.0 + self.contrast, each).astype(np.float32)
            images = (images - mean) * factor + mean
        if self.brightness:
            images = images + 255 * random.uniform(-self.brightness, self.brightness, each).astype(np.float32)
        if self.noise:
            images = images + self.noise * random.standard_normal(images.shape, dtype=np.float32)
        return images


def parse_augmentation(text: str) -> Augmentation | None:
    """Return the changes that a parameter names; None if it is empty.

    Raises: InvalidConfigurationError naming the change that does not exist or the value that cannot be.
    """
    values: dict[str, float] = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, _, value = part.partition("=")
        if name not in CHANGES:
            raise InvalidConfigurationError(f"augment knows no '{name}'; it knows: {', '.join(CHANGES)}")
        if name in values:
            raise InvalidConfigurationError(f"augment names '{name}' twice")
        values[name] = _read_value(name, value, CHANGES[name])
    return Augmentation(**values) if values else None


def _read_value(name: str, text: str, bound: Bound) -> float:
    if not text and bound.default is not None:
        return bound.default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= bound.maximum or (name == "shift" and not value.is_integer()):
        kind = "a whole number" if name == "shift" else "a number"
        raise InvalidConfigurationError(f"augment: '{name}' must be {kind} from 0 to {bound.maximum:g}, not '{text}'")
    return value


def _shift(images: Array, offsets: Array) -> Array:
    """Move each image by whole pixels; what comes in repeats the border."""
    count, height, width = images.shape[:3]
    rows = np.clip(np.arange(height)[None, :] - offsets[:, :1], 0, height - 1)  # (n, height)
    columns = np.clip(np.arange(width)[None, :] - offsets[:, 1:], 0, width - 1)  # (n, width)
    moved: Array = images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def _resample(images: Array, transforms: tuple[Array, Array]) -> Array:
    """Return images turned, scaled and moved about their middle, by bilinear interpolation; borders repeat."""
    matrices, offsets = transforms
    count, height, width, channels = images.shape
    middle = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
    down = (np.arange(height, dtype=np.float32) - middle[0])[None, :, None] + offsets[
        :, 0, None, None
    ]  # (n, height, 1)
    right = (np.arange(width, dtype=np.float32) - middle[1])[None, None, :] + offsets[:, 1, None, None]  # (n, 1, width)
    turn = matrices[:, :, :, None, None]  # (n, 2, 2, 1, 1)
    rows = np.clip(turn[:, 0, 0] * down + turn[:, 0, 1] * right + middle[0], 0, height - 1)  # (n, height, width)
    columns = np.clip(turn[:, 1, 0] * down + turn[:, 1, 1] * right + middle[1], 0, width - 1)
    top, left = rows.astype(np.int32), columns.astype(np.int32)
    bottom, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    row_share, column_share = (rows - top.astype(np.float32))[..., None], (columns - left.astype(np.float32))[..., None]
    pixels = images.reshape(count * height * width, channels)
    first = np.arange(count, dtype=np.int32)[:, None, None] * (height * width)
    upper = _mix(pixels[first + top * width + left], pixels[first + top * width + beside], column_share)
    lower = _mix(pixels[first + bottom * width + left], pixels[first + bottom * width + beside], column_share)
    return _mix(upper, lower, row_share)


def _mix(first: Array, second: Array, share: Array) -> Array:
    mixed: Array = first + (second - first) * share
    return mixed


def _erase(images: Array, share: float, random: np.random.Generator) -> None:
    """Fill a rectangle of each image, of at most this share of each side, with the image's mean."""
    _, height, width = images.shape[:3]
    for image in images:
        high, wide = (int(random.integers(0, int(side * share), endpoint=True)) for side in (height, width))
        top, left = (int(random.integers(0, room, endpoint=True)) for room in (height - high, width - wide))
        image[top : top + high, left : left + wide] = image.mean()
