"""From an order to a trained model: the one door into the learning code."""

from __future__ import annotations

from training.recipes.api import Reporter, TrainedModel, TrainingOrder


def learn(order: TrainingOrder, reporter: Reporter) -> TrainedModel:
    """Train as ordered and return the model, tested on rows that it never saw."""
    raise NotImplementedError
