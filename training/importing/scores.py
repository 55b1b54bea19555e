"""How good a model is on sample rows whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.features import summarise_predictions
from aiplatform.tensors import TensorSpec

Array = np.ndarray[Any, Any]
REGRESSION = "regression"


def encode_truth(
    truth: Array, labels: tuple[str, ...], output: TensorSpec, *, task: str
) -> tuple[tuple[str, ...], Array]:
    """Return the labels, and the truth as labels (texts) or, for a regression, as numbers.

    Texts, and numbers that are labels themselves, are taken by name; other whole numbers by index.
    Raises: InvalidInputError for a truth that is no label.
    """
    if truth.ndim != 1:
        raise InvalidInputError(f"labels must be one a row, shape (n,), not {list(truth.shape)}")
    if task == REGRESSION:
        if truth.dtype.kind not in "fiub":
            raise InvalidInputError(f"a regression's labels must be numbers, not {truth.dtype}")
        return labels, truth.astype(np.float64)
    whole = truth.dtype.kind in "iub" or (truth.dtype.kind == "f" and bool(np.all(truth == np.rint(truth))))
    names = np.array([_text(value, whole=whole) for value in truth.tolist()], dtype=object)
    if set(names) <= set(labels):
        return labels, names
    if whole and labels and truth.min() >= 0 and truth.max() < len(labels):
        return labels, np.array([labels[int(index)] for index in truth], dtype=object)
    unknown = sorted(set(names) - set(labels))[:5]
    raise InvalidInputError(
        f"the samples have the labels {', '.join(unknown)}, which are not among: {', '.join(labels)}"
    )


def score(outputs: Array, truth: Array, labels: tuple[str, ...], *, task: str) -> dict[str, float]:
    """Return the accuracy; for a regression the mean absolute and the root mean squared error."""
    said = summarise_predictions({"first": outputs}, labels)
    if task == REGRESSION:
        if said.values is None or len(said.values) != len(truth):
            return {}
        errors = np.array(said.values) - truth
        return {"mean_absolute_error": float(np.abs(errors).mean()), "rmse": float(np.sqrt((errors**2).mean()))}
    return {"accuracy": float(np.mean(np.array(said.labels, dtype=object) == truth))} if said.labels is not None else {}


def _text(value: Any, *, whole: bool) -> str:
    return str(int(value)) if whole else str(value)
