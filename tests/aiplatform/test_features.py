"""The features that are watched, the same in training and in serving."""

from __future__ import annotations

import numpy as np
import pytest

from aiplatform.features import MAX_VECTOR_FEATURES, extract_features, image_features, summarise_predictions


def test_an_image_becomes_four_numbers_in_its_own_units() -> None:
    flat = np.full((1, 4, 4, 1), 100.0, np.float32)
    split = np.concatenate([np.zeros((1, 4, 2)), np.full((1, 4, 2), 200.0)], axis=2)
    told = image_features(flat)
    assert {name: values.tolist() for name, values in told.items()} == {
        "brightness": [100.0], "contrast": [0.0], "sharpness": [0.0], "fill": [0.0],
    }  # fmt: skip
    told = image_features(split)
    assert told["brightness"].tolist() == [100.0]
    assert told["contrast"].tolist() == [100.0]
    assert told["fill"].tolist() == [0.5]
    assert told["sharpness"].tolist() == pytest.approx([200 * 4 / 24])  # 4 steps of 24 neighbour pairs


def test_integer_and_float_images_give_the_same_numbers() -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    for name, values in image_features(images).items():
        np.testing.assert_allclose(values, image_features(images.astype(np.float32))[name])


@pytest.mark.parametrize("shape", [(200, 28, 28, 1), (3, 5, 7), (2, 6, 4, 3)])
def test_image_features_are_those_of_the_plain_formulas(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(2).normal(1000.0, 1.0, shape)
    gray = images.astype(np.float32).astype(np.float64)
    gray = gray.mean(axis=3) if images.ndim > 3 else gray
    flat = gray.reshape(len(gray), -1)
    middle = (flat.max(axis=1) + flat.min(axis=1)) / 2
    steps = [np.abs(np.diff(gray, axis=axis)).reshape(len(gray), -1) for axis in (1, 2)]
    told = image_features(images)
    np.testing.assert_allclose(told["brightness"], flat.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(told["contrast"], flat.std(axis=1), rtol=1e-3)  # small beside the mean
    np.testing.assert_allclose(told["sharpness"], np.concatenate(steps, axis=1).mean(axis=1), rtol=1e-3)
    np.testing.assert_allclose(told["fill"], (flat > middle[:, None]).mean(axis=1), atol=1.5 / flat.shape[1])


@pytest.mark.parametrize("shape", [(0, 8, 8, 1), (2, 1, 1, 1), (2, 1, 5)])
def test_empty_batches_and_single_pixels_are_no_error(shape: tuple[int, ...]) -> None:
    assert all(len(values) == shape[0] for values in image_features(np.zeros(shape, np.float32)).values())


def test_several_images_are_told_apart_by_name() -> None:
    columns = extract_features({"a": np.zeros((1, 2, 2)), "b": np.zeros((1, 2, 2))})
    assert set(columns) == {f"{i}.{f}" for i in "ab" for f in ("brightness", "contrast", "sharpness", "fill")}


def test_columns_and_vectors_become_features_of_their_name() -> None:
    columns = extract_features(
        {
            "age": np.array([[1], [2]], np.int32),
            "city": np.array([[b"x"], [None]], dtype=object),
            "v": np.arange(2 * 100, dtype=np.float32).reshape(2, 100),
        }
    )
    assert columns["age"].tolist() == [1.0, 2.0]
    assert columns["city"].tolist() == ["x", None]
    assert columns["v[1]"].tolist() == [1.0, 101.0]
    assert len([name for name in columns if name.startswith("v[")]) == MAX_VECTOR_FEATURES


@pytest.mark.parametrize("missing", [None, "", b"", float("nan")])
def test_a_missing_category_is_none(missing: object) -> None:
    assert extract_features({"city": np.array(["x", missing], dtype=object)})["city"].tolist() == ["x", None]


def test_probabilities_give_labels_and_confidences() -> None:
    summary = summarise_predictions({"probabilities": np.array([[0.1, 0.9], [0.8, 0.2]])}, ["no", "yes"])
    assert (summary.labels, summary.confidences, summary.values) == (["yes", "no"], [0.9, 0.8], None)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_one_probability_is_that_of_the_second_label(shape: tuple[int, ...]) -> None:
    summary = summarise_predictions({"p": np.array([0.25, 1.0]).reshape(shape)}, ["no", "yes"])
    assert (summary.labels, summary.confidences) == (["no", "yes"], [0.75, 1.0])


def test_numbers_without_labels_are_a_regression() -> None:
    counted = summarise_predictions({"count": np.array([[3], [0]], np.int32)}, ["car", "sign"])
    assert (counted.labels, counted.values) == (None, [3.0, 0.0]), "a count is no probability"
    summary = summarise_predictions({"y": np.array([[1.5], [2.5]])}, [])
    assert (summary.labels, summary.values) == (None, [1.5, 2.5])


def test_classes_beyond_the_labels_are_named_by_their_number() -> None:
    assert summarise_predictions({"p": np.array([[0.0, 0.0, 1.0]])}, ["a"]).labels == ["2"]
