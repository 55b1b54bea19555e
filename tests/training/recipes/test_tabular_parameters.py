"""How much a table's network is held back follows from its rows, unless somebody says it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.recipes.tabular import TabularParameters

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("rows", "dropout", "decay"), [(1, 0.5, 1.0), (1000, 0.5, 1.0), (2000, 0.4, 0.5), (1_000_000, 0.3002, 0.001)]
)
def test_the_fewer_rows_the_more_is_held_back(rows: int, dropout: float, decay: float) -> None:
    chosen = TabularParameters().for_rows(rows)
    assert chosen.dropout == pytest.approx(dropout)
    assert chosen.weight_decay == pytest.approx(decay)


def test_what_was_ordered_stays() -> None:
    ordered = TabularParameters(dropout=0.0, weight_decay=0.0)
    assert ordered.for_rows(10) == ordered


@pytest.mark.parametrize("recipe", ["keras_tabular", pytest.param("torch_tabular", marks=pytest.mark.torch)])
def test_a_table_without_anything_to_learn_is_not_learned_by_heart(
    train: Callable[..., Any], tmp_path: Path, recipe: str
) -> None:
    """Where classes are drawn by lot, whoever says one with confidence has learned the rows and not the world."""
    random = np.random.default_rng(2)
    rows = [
        f"{','.join(f'{v:.3f}' for v in random.normal(size=12))},{random.choice(['no', 'yes'])}" for _ in range(250)
    ]
    (tmp_path / "lots.csv").write_text("\n".join([",".join([*(f"c{i}" for i in range(12)), "won"]), *rows]))
    options = {"target": "won", "learning_rate": 0.005, "epochs": 40, "embedding": 0}
    held, loose = (
        train(recipe, tmp_path / "lots.csv", name=name, **options, **more)[0].metrics["loss"]
        for name, more in (("held", {}), ("loose", {"dropout": 0.0, "weight_decay": 0.0}))
    )
    assert held < loose - 0.05
