"""Images from every place and form; what is wrong with them is named."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aiplatform.errors import InvalidConfigurationError, InvalidInputError, UnavailableError
from tests.training.data.pictures import NAMES, make_bars, write_bars
from training.data.builtin import load_mnist
from training.data.dataset import Dataset
from training.data.images import to_pixels
from training.data.reading import Reading
from training.data.sources import load_dataset


def load(uri: Path | str, tmp_path: Path, *, seed: int = 1, target: str | None = None) -> Dataset:
    return load_dataset(str(uri), target=target, seed=seed, scratch=tmp_path / "scratch")


def write_idx(path: Path, array: Any) -> None:
    raw = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def write_pngs(folder: Path, *, rows: int = 60, channels: int = 1) -> None:
    pixels, labels = make_bars(rows, channels=channels)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        place = folder / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0] if channels == 1 else image).save(place / f"{number}.png")


def test_digits_are_spread_over_the_whole_range(tmp_path: Path) -> None:
    data = load("digits", tmp_path)
    assert data.labels == tuple("0123456789")
    assert data.inputs[0].shape == (-1, 8, 8, 1)
    pixels = data.train.inputs["image"]
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert len(data.train) + len(data.validation) + len(data.test) == 1797


def test_the_seed_alone_decides_the_split(tmp_path: Path) -> None:
    path = tmp_path / "bars.npz"
    write_bars(path, rows=300)
    one, same, other = (load(path, tmp_path, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.test.inputs["image"], same.test.inputs["image"])
    assert not np.array_equal(one.test.inputs["image"], other.test.inputs["image"])
    assert one.fingerprint == other.fingerprint
    rows = [part.inputs["image"].reshape(len(part), -1) for part in (one.train, one.validation, one.test)]
    assert len(np.unique(np.concatenate(rows), axis=0)) == 300, "no row is in two parts"
    assert np.bincount(one.test.labels).tolist() == [20, 20, 20]


def test_the_fingerprint_changes_with_one_byte(tmp_path: Path) -> None:
    write_pngs(tmp_path / "bars")
    before = load(tmp_path / "bars", tmp_path).fingerprint
    assert load(tmp_path / "bars", tmp_path).fingerprint == before
    changed = tmp_path / "bars" / "left" / "0.png"
    Image.fromarray(np.zeros((6, 6), np.uint8)).save(changed)
    assert load(tmp_path / "bars", tmp_path).fingerprint != before


def test_npz_with_given_parts_keeps_them(tmp_path: Path) -> None:
    pixels, labels = make_bars(90)
    parts = {"train": slice(0, 60), "val": slice(60, 75), "test": slice(75, 90)}
    arrays = {f"{name}_images": pixels[rows, ..., 0] for name, rows in parts.items()}
    arrays |= {f"{name}_labels": labels[rows, None] for name, rows in parts.items()}
    np.savez(tmp_path / "medical.npz", **arrays)
    data = load(tmp_path / "medical.npz", tmp_path)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [60, 15, 15]
    assert np.array_equal(data.test.inputs["image"], pixels[75:])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read(tmp_path: Path, suffix: str) -> None:
    pixels, labels = make_bars(60)
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{suffix}", pixels[..., 0])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{suffix}", labels.astype(np.uint8))
    data = load(tmp_path, tmp_path)
    assert np.array_equal(data.test.inputs["image"], pixels)
    assert np.array_equal(data.test.labels, labels)


def test_a_cut_idx_file_is_refused_by_name(tmp_path: Path) -> None:
    pixels, labels = make_bars(30)
    write_idx(tmp_path / "train-images-idx3-ubyte", pixels[..., 0])
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels.astype(np.uint8))
    cut = tmp_path / "train-images-idx3-ubyte"
    cut.write_bytes(cut.read_bytes()[:-5])
    with pytest.raises(InvalidInputError, match=r"train-images-idx3-ubyte' is cut"):
        load(tmp_path, tmp_path)
    cut.unlink()
    with pytest.raises(InvalidInputError, match="no file of train images"):
        load(tmp_path, tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
def test_folders_named_by_class_are_read(tmp_path: Path, channels: int) -> None:
    write_pngs(tmp_path / "bars", channels=channels)
    data = load(tmp_path / "bars", tmp_path)
    assert data.labels == NAMES
    assert data.image is not None
    assert (data.image.height, data.image.width, data.image.channels) == (6, 6, channels)


def test_a_folder_that_is_split_already_stays_so(tmp_path: Path) -> None:
    write_pngs(tmp_path / "bars" / "train", rows=60)
    write_pngs(tmp_path / "bars" / "test", rows=30)
    data = load(tmp_path / "bars", tmp_path)
    assert (len(data.train) + len(data.validation), len(data.test)) == (60, 30)


def test_an_image_of_another_size_is_named_or_resized(tmp_path: Path) -> None:
    write_pngs(tmp_path / "bars")
    Image.fromarray(np.zeros((9, 7), np.uint8)).save(tmp_path / "bars" / "left" / "odd.png")
    with pytest.raises(InvalidInputError, match=r"left/odd\.png: is 9x7.*append '\?size=6x6'"):
        load(tmp_path / "bars", tmp_path)
    assert load(f"{tmp_path / 'bars'}?size=12x10&channels=3", tmp_path).inputs[0].shape == (-1, 12, 10, 3)


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    write_pngs(tmp_path / "bars")
    broken = tmp_path / "bars" / "right" / "2.png"
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(InvalidInputError, match=r"right/2\.png: is not a readable image"):
        load(tmp_path / "bars", tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array([0, 128, 255], np.uint8), [0, 128, 255]),
        (np.array([0.0, 0.5, 1.0]), [0, 127.5, 255]),
        (np.array([0, 257, 65535], np.uint16), [0, 1, 255]),
        (np.array([0, 9, 16], np.int64), [0, 9, 16]),
        (np.array([False, True, True]), [0, 255, 255]),
    ],
)
def test_pixels_come_to_one_range(given: Any, expected: list[float]) -> None:
    pixels = to_pixels(given.reshape(1, 1, 3), where="test")
    assert pixels.reshape(-1).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("bad", [[-1.0, 0.0], [float("nan"), 1.0], [0.0, 1e6]])
def test_what_cannot_be_pixels_is_refused(bad: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="pixels must be from 0 to 255"):
        to_pixels(np.array(bad).reshape(1, 1, 2), where="test")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(3)}, "must hold one of: x_train and y_train"),
        ({"x": np.zeros((9, 4, 4)), "y": np.arange(8) % 2}, "9 images and 8 labels"),
        ({"x": np.zeros((9, 4, 4)), "y": np.zeros(9, int)}, "2 to 1000 classes, not 1"),
        ({"x": np.zeros((9, 4)), "y": np.arange(9)}, r"shape \(n, height, width"),
        ({"x": np.zeros((9, 4, 4)), "y": np.eye(9)}, "one class a row"),
        ({"x": np.zeros((3, 4, 4)), "y": np.arange(3)}, "too few"),
    ],
)
def test_an_npz_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(InvalidInputError, match=message):
        load(tmp_path / "odd.npz", tmp_path)


def test_an_npz_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "sly.npz", x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(InvalidInputError, match=r"not a readable \.npz"):
        load(tmp_path / "sly.npz", tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text"])
def test_a_corrupt_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"bad\.npz' is not a readable"):
        load(tmp_path / "bad.npz", tmp_path)


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("nowhere.npz", InvalidInputError, "there is no data at 'nowhere.npz'"),
        ("ftp://x/y.npz", InvalidInputError, "not a local path"),
        ("", InvalidInputError, "must name a source"),
        ("digits?size=3x3", InvalidInputError, "takes no option 'size'"),
        ("digits?size", InvalidInputError, "name=value"),
        (__file__, InvalidInputError, "of no known kind"),
    ],
)
def test_a_wrong_uri_says_what_is_wrong(tmp_path: Path, uri: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(uri, tmp_path)


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="neither IDX files nor PNG or JPEG"):
        load(tmp_path, tmp_path)


def test_images_have_no_target(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigurationError, match="target column is for tables"):
        load("digits", tmp_path, target="class")


def test_mnist_offline_says_which_file_to_put_where(tmp_path: Path) -> None:
    def unreachable() -> None:
        raise TimeoutError("no answer within 10 s")

    with pytest.raises(UnavailableError, match=rf"put mnist\.npz .*sha256 731c5ac.* at {tmp_path}/mnist\.npz"):
        load_mnist(Reading(seed=1), cache=tmp_path, download=unreachable)


def test_a_mnist_file_that_is_not_mnist_is_refused(tmp_path: Path) -> None:
    write_bars(tmp_path / "mnist.npz", rows=30)
    with pytest.raises(UnavailableError, match="is not MNIST as Keras publishes it"):
        load_mnist(Reading(seed=1), cache=tmp_path)
