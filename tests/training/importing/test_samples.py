"""Sample rows from files, and rows that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aiplatform.artifacts import ImageInput
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from training.importing.checks import describe_doubts
from training.importing.samples import generate_samples, read_samples
from training.importing.scores import encode_truth, score

X = TensorSpec(name="x", dtype=DType.FP32, shape=(-1, 2))
IMAGE = TensorSpec(name="image", dtype=DType.UINT8, shape=(-1, 4, 4, 1))
COLUMNS = (
    TensorSpec(name="age", dtype=DType.FP32, shape=(-1, 1)),
    TensorSpec(name="home_town", dtype=DType.BYTES, shape=(-1, 1)),
)
P = TensorSpec(name="p", dtype=DType.FP32, shape=(-1, 2))


def test_a_table_gives_each_input_its_column(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("age,home town,class\n31,Ulm,yes\n,Bonn,no\n")
    samples = read_samples(tmp_path / "rows.csv", COLUMNS, target="class")
    assert samples.inputs["home_town"].tolist() == [["Ulm"], ["Bonn"]]
    assert samples.inputs["age"].dtype == np.float32
    assert np.isnan(samples.inputs["age"][1, 0])
    assert samples.labels is not None
    assert samples.labels.tolist() == ["yes", "no"]


def test_a_tables_columns_are_the_one_inputs_width(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b,y\n1,2,0\n3,4.5,1\n")
    samples = read_samples(tmp_path / "rows.csv", (X,))
    assert samples.inputs["x"].tolist() == [[1.0, 2.0], [3.0, 4.5]]
    with pytest.raises(InvalidInputError, match="as many columns as the one input is wide; it has 3"):
        read_samples(_csv(tmp_path, "a,b,c\n1,2,3\n"), (X,))


def test_gray_images_get_their_channel_and_a_wrong_size_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((3, 4, 4), np.float64))
    assert read_samples(tmp_path / "rows.npy", (IMAGE,)).inputs["image"].shape == (3, 4, 4, 1)
    np.save(tmp_path / "rows.npy", np.zeros((3, 5, 4), np.uint8))
    with pytest.raises(InvalidInputError, match=r"must have shape \[-1, 4, 4, 1\] .* not \[3, 5, 4, 1\]"):
        read_samples(tmp_path / "rows.npy", (IMAGE,))


def test_arrays_of_unequal_length_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.zeros((3, 2)), y=np.zeros(4))
    with pytest.raises(InvalidInputError, match="the same number of rows"):
        read_samples(tmp_path / "rows.npz", (X,))


def test_made_up_rows_are_the_same_each_time_and_within_the_images_range() -> None:
    image = ImageInput(height=4, width=4, channels=1, low=-1, high=1)
    spec = TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 4, 4, 1))
    first, again = (generate_samples((spec,), image=image, seed=0).inputs["image"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first.shape, first.min() >= -1, first.max() <= 1, first.std() > 0.3) == ((8, 4, 4, 1), True, True, True)
    with pytest.raises(InvalidInputError, match="texts, which cannot be made up"):
        generate_samples(COLUMNS, image=None, seed=0)


@pytest.mark.parametrize(
    ("truth", "names"),
    [
        (np.array([0, 1, 1]), ["no", "yes", "yes"]),
        (np.array([0.0, 1.0, 0.0]), ["no", "yes", "no"]),
        (np.array(["yes", "no", "no"]), ["yes", "no", "no"]),
    ],
)
def test_truth_is_labels_by_name_or_by_index(truth: np.ndarray, names: list[str]) -> None:
    labels, encoded = encode_truth(truth, ("no", "yes"), P, task="tabular_classification")
    assert (labels, encoded.tolist()) == (("no", "yes"), names)


def test_numbers_that_are_labels_are_taken_by_name() -> None:
    _, encoded = encode_truth(np.array([1, 2]), ("2", "1"), P, task="tabular_classification")
    assert encoded.tolist() == ["1", "2"]
    with pytest.raises(InvalidInputError, match="the labels 7, which are not among: 2, 1"):
        encode_truth(np.array([1, 7]), ("2", "1"), P, task="tabular_classification")


def test_a_regression_is_scored_by_its_errors() -> None:
    _, truth = encode_truth(np.array([1.0, 3.0]), (), P, task="regression")
    scores = score(np.array([[2.0], [1.0]]), truth, (), task="regression")
    assert scores == {"mean_absolute_error": 1.5, "rmse": pytest.approx(2.5**0.5)}


def test_logits_are_said_to_be_no_probabilities() -> None:
    signature = Signature(inputs=(X,), outputs=(P,))
    task = "tabular_classification"
    (note,) = describe_doubts(signature, np.array([[3.0, -1.0]]), task=task, labels=("a", "b"), image=None)
    assert "'p' do not add up to 1" in note
    assert describe_doubts(signature, np.array([[0.25, 0.75]]), task=task, labels=("a", "b"), image=None) == ()


def _csv(folder: Path, text: str) -> Path:
    path = folder / "other.csv"
    path.write_text(text)
    return path
