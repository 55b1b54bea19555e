"""From an order to its data: the one place that knows which parts of an order the data sources want."""

from __future__ import annotations

from training.data.dataset import Dataset
from training.recipes.api import TrainingOrder


def load_ordered(order: TrainingOrder, *, task: str) -> Dataset:
    """Return the data of an order, split; what was found in its sources is in `order.reports`, whatever happens.

    Raises: as `load_dataset`.
    """
    from training.data.sources import load_dataset  # who only asks what a recipe is needs no reader of data

    order.reports.clear()
    return load_dataset(
        order.data_uri,
        target=order.target,
        seed=order.seed,
        scratch=order.scratch,
        cache=order.cache,
        databases=order.databases,
        memory_bytes=order.memory_bytes,
        expected=order.expected,
        reports=order.reports,
        task=task,
    )
