"""Augmentation: what it does to pictures, that it repeats, and that the served model knows nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidConfigurationError
from tests.training.learning.test_learning import order, weights
from tests.training.recipes.reporters import RememberingReporter
from training.data.sources import load_dataset
from training.learning import learn
from training.recipes.api import StopRequestedError
from training.recipes.augmentation import CHANGES, parse_augmentation
from training.recipes.registry import resolve_parameters

ALL = "flip,flip_vertical=0.3,shift=1,rotate=10,zoom=0.1,brightness=0.1,contrast=0.2,noise=8,erase=0.3"


def change(text: str, images: Any, *, seed: int = 1, epoch: int = 1, step: int = 0) -> Any:
    augmentation = parse_augmentation(text)
    assert augmentation is not None
    return augmentation.apply(images, seed=seed, epoch=epoch, step=step)


@pytest.fixture
def images() -> Any:
    return np.random.default_rng(0).integers(60, 200, (40, 9, 7, 3)).astype(np.float32)


def test_a_flip_turns_left_and_right(images: Any) -> None:
    assert np.array_equal(change("flip=1", images), images[:, :, ::-1])
    assert np.array_equal(change("flip_vertical=1", images), images[:, ::-1])
    some = change("flip", images)
    turned = [np.array_equal(a, b[:, ::-1]) for a, b in zip(some, images, strict=True)]
    assert 5 < sum(turned) < 35


def test_a_shift_moves_by_whole_pixels_and_repeats_the_border(images: Any) -> None:
    moved = change("shift=2", images)
    for before, after in zip(images, moved, strict=True):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if np.array_equal(after, before[np.clip(np.arange(9) - down, 0, 8)][:, np.clip(np.arange(7) - right, 0, 6)])
        ]
        assert found
    assert not np.array_equal(moved, images)


def test_a_rotation_keeps_the_middle_and_a_small_one_is_small(images: Any) -> None:
    turned = change("rotate=180", images)
    assert np.allclose(turned[:, 4, 3], images[:, 4, 3], atol=1e-3), "the middle is turned about"
    slightly = change("rotate=0.01", images)
    assert np.abs(slightly - images).max() < 2
    assert np.abs(turned - images).max() > 20


def test_a_quarter_turn_of_a_square_is_numpys(images: Any) -> None:
    square = images[:, :7]
    from training.recipes.augmentation import _resample  # the sampling alone, at an angle that is known

    quarter = np.tile(np.array([[0, -1], [1, 0]], dtype=np.float32), (len(square), 1, 1))
    turned = _resample(square, (quarter, np.zeros((len(square), 2), dtype=np.float32)))
    assert np.allclose(turned, np.rot90(square, 1, axes=(1, 2)), atol=1e-3) or np.allclose(
        turned, np.rot90(square, -1, axes=(1, 2)), atol=1e-3
    )


def test_noise_has_the_deviation_that_is_named(images: Any) -> None:
    gray = np.full((50, 20, 20, 1), 128, dtype=np.float32)
    assert np.isclose((change("noise=8", gray) - gray).std(), 8, rtol=0.05)


def test_what_is_erased_is_of_one_value(images: Any) -> None:
    changed = change("erase=0.6", images)
    where = (changed != images).all(axis=3)
    assert 0 < where.mean() < 0.36
    image = int(np.argmax(where.sum(axis=(1, 2))))
    assert len(np.unique(changed[image][where[image]])) == 1


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_every_change_changes_stays_in_range_and_repeats(images: Any, name: str) -> None:
    text = name if CHANGES[name].default is not None else f"{name}={'2' if name == 'shift' else '0.5'}"
    changed = change(text, images)
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert np.array_equal(changed, change(text, images))
    for other in ({"seed": 2}, {"epoch": 2}, {"step": 1}):
        assert not np.array_equal(changed, change(text, images, **other))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mirror", "augment knows no 'mirror'; it knows: flip,"),
        ("rotate", "'rotate' must be a number from 0 to 180, not ''"),
        ("rotate=200", "'rotate' must be a number from 0 to 180, not '200'"),
        ("shift=1.5", r"'shift' must be a whole number from 0 to 1000, not '1\.5'"),
        ("noise=much", "not 'much'"),
        ("flip,flip", "augment names 'flip' twice"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_the_order(text: str, message: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=message):
        resolve_parameters("keras_cnn", {"augment": text})


def test_nothing_is_the_default() -> None:
    assert parse_augmentation("") is None


@pytest.mark.parametrize("stop_at", [(1, 2), (2, 21)])
def test_a_stopped_training_with_augmentation_ends_as_one_that_was_not(
    tmp_path: Path, stop_at: tuple[int, int]
) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    unbroken = learn(order(tmp_path / "a", augment=ALL), RememberingReporter())
    with pytest.raises(StopRequestedError):
        learn(order(tmp_path / "b", augment=ALL), RememberingReporter(stop_at=stop_at))
    resumed = learn(order(tmp_path / "b", augment=ALL), RememberingReporter())
    assert np.array_equal(weights(unbroken, tmp_path / "ma"), weights(resumed, tmp_path / "mb"))
    plain = learn(order(tmp_path / "c"), RememberingReporter())
    assert not np.array_equal(weights(unbroken, tmp_path / "ma2"), weights(plain, tmp_path / "mc"))


def test_held_out_rows_and_the_warm_up_are_not_changed(tmp_path: Path) -> None:
    model = learn(order(tmp_path, augment=ALL), RememberingReporter())
    data = load_dataset(str(tmp_path / "bars.npz"), target=None, seed=7, scratch=tmp_path)
    assert np.array_equal(model.warmup_inputs["image"], data.test.rows(slice(0, 8))[0]["image"])
    assert data.train.inputs["image"].dtype == np.uint8, "the rows in memory are as they were"
