"""What is learned: which output a model has, what is measured while it learns, and how it is tested.

The data says it (`Target`), the recipe may say more of it (`Recipe.build_task`). Everything here is numpy, the same for
all frameworks; the losses that frameworks differentiate are in keras_heads.py and torch_heads.py.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.calibration import Calibration
from aiplatform.errors import InvalidConfigurationError
from aiplatform.features import summarise_predictions
from aiplatform.tensors import DType, TensorSpec
from training.calibrating import fit_calibration
from training.data.dataset import Array, DataDescription, DataKind, Part, Target
from training.decisions import expected_calibration_error, sensitivity_specificity
from training.recipes.parameters import EQUAL, MSE
from training.recipes.scores import accuracy, confusion_matrix, cross_entropy, regression_metrics, roc_auc

CLASSIFICATIONS = {DataKind.IMAGES: "image_classification", DataKind.TABLE: "tabular_classification"}
Metrics = dict[str, float]


class Task(ABC):
    """One kind of answer. `name` is the manifest's task; `measure` what is told of rows while they are learned."""

    name: str
    measure: ClassVar[str]
    labels: tuple[str, ...] = ()

    @property
    @abstractmethod
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Return the outputs as they are served; monitoring watches the first."""

    def answers(self, outputs: Any) -> dict[str, Any]:
        """Return what is served, by name, from what the network gives; for arrays and for tensors."""
        return {self.outputs[0].name: outputs}

    @abstractmethod
    def validate(self, outputs: Array, targets: Array) -> Metrics:
        """Return `loss` and the measure of held-out rows."""

    @abstractmethod
    def test(self, outputs: Array, rows: Part) -> Metrics:
        """Return the metrics of the test rows."""

    def evaluate(self, outputs: Array, targets: Array) -> Mapping[str, Any]:
        """Return what is not one number."""
        return {}

    def calibrate(self, outputs: Array, targets: Array) -> Calibration | None:
        """Return how often a confidence is right; None where there are none."""
        return None

    def watched(self, outputs: Array) -> Arrays:
        """Return the columns of the answers that the profile keeps, by the names that monitoring has for them."""
        said = summarise_predictions(self.answers(outputs), self.labels)
        if said.labels is None:
            return {"value": np.array(said.values)}
        return {"label": np.array(said.labels, dtype=object), "confidence": np.array(said.confidences)}


class Classification(Task):
    """One of several classes, as probabilities of all, shape (n, classes); targets (n,) are class indices."""

    measure = "accuracy"

    def __init__(self, labels: tuple[str, ...], *, name: str) -> None:
        self.labels, self.name = labels, name

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Return `probabilities`."""
        return (TensorSpec(name="probabilities", dtype=DType.FP32, shape=(-1, len(self.labels))),)

    def validate(self, outputs: Array, targets: Array) -> Metrics:
        """Return cross-entropy and accuracy."""
        return {"loss": cross_entropy(outputs, targets), "accuracy": accuracy(outputs, targets)}

    def test(self, outputs: Array, rows: Part) -> Metrics:
        """Return the same; of two classes also what a test of the second one is judged by.

        The area under the ROC curve, sensitivity and specificity at 0.5, and the expected calibration error.
        """
        targets = rows.labels
        found = self.validate(outputs, targets)
        if len(self.labels) != 2:
            return found
        is_positive = targets == 1
        sensitivity, specificity = sensitivity_specificity(outputs[:, 1] >= 0.5, is_positive)
        more = {
            "roc_auc": roc_auc(outputs[:, 1], is_positive),
            "sensitivity": sensitivity,
            "specificity": specificity,
            "calibration_error": expected_calibration_error(outputs[:, 1], is_positive),
        }
        return found | {name: value for name, value in more.items() if math.isfinite(value)}

    def evaluate(self, outputs: Array, targets: Array) -> Mapping[str, Any]:
        """Return the confusion matrix: rows true, columns predicted."""
        return {"labels": list(self.labels), "confusion_matrix": confusion_matrix(outputs, targets).tolist()}

    def calibrate(self, outputs: Array, targets: Array) -> Calibration | None:
        """Return the calibration of the confidences."""
        return fit_calibration(outputs, targets)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Where the training rows' targets lie: losses are of (target - mean) / deviation, so that rates fit any unit."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, targets: Array) -> Scale:
        """Return the scale of targets of any shape."""
        known = targets.astype(np.float64)
        return cls(mean=float(known.mean()), deviation=max(float(known.std()), 1e-6))


class Regression(Task):
    """A number, shape (n, 1), in the target's own unit; targets (n,)."""

    name = "regression"
    measure = "mae"

    def __init__(self, scale: Scale, *, loss: str = MSE) -> None:
        self.scale, self.loss = scale, loss

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Return `value`."""
        return (TensorSpec(name="value", dtype=DType.FP32, shape=(-1, 1)),)

    def validate(self, outputs: Array, targets: Array) -> Metrics:
        """Return the loss, as it is learned with, and the mean absolute error."""
        errors = np.abs(outputs.astype(np.float64) - targets.reshape(outputs.shape))
        apart = errors / self.scale.deviation
        losses = apart**2 if self.loss == MSE else np.where(apart <= 1, apart**2 / 2, apart - 0.5)
        return {"loss": float(losses.mean()), "mae": float(errors.mean())}

    def test(self, outputs: Array, rows: Part) -> Metrics:
        """Return loss, MAE, RMSE and R2."""
        errors = regression_metrics(outputs.reshape(-1), rows.labels.reshape(-1))
        return {"loss": self.validate(outputs, rows.labels)["loss"], **errors}


def build_task(data: DataDescription, parameters: Any) -> Task:
    """Return the task that the data sets, for classes under the manifest's name for this kind of data.

    Raises: InvalidConfigurationError if a parameter is for another task.
    """
    if data.target is Target.CLASSES:
        return Classification(data.labels, name=CLASSIFICATIONS[data.kind])
    if parameters.class_weights != EQUAL:
        raise InvalidConfigurationError(
            f"class_weights={parameters.class_weights} is for classes; the target is a number"
        )
    return Regression(Scale.of(data.train.labels), loss=getattr(parameters, "loss", MSE))
