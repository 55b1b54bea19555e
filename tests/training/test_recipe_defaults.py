"""The setting of Keras' backend is the default that orders, pages and commands have."""

from __future__ import annotations

from typing import Any

import pytest

from aiplatform.errors import InvalidConfigurationError
from training.recipe_defaults import get_recipe, list_recipes
from training.services import RunOrder, check_order


def order(recipe: str, **parameters: Any) -> RunOrder:
    return RunOrder(recipe=recipe, data_uri="digits", model_name="digits", parameters=parameters)


def test_an_order_that_names_no_backend_gets_that_of_the_setting(settings: Any) -> None:
    assert check_order(order("keras_cnn"))["backend"] == "tensorflow"
    settings.TRAINING_KERAS_BACKEND = "jax"
    assert check_order(order("keras_cnn"))["backend"] == "jax"
    assert check_order(order("keras_cnn", backend="torch"))["backend"] == "torch"
    assert "backend" not in check_order(order("torch_cnn"))
    with pytest.raises(InvalidConfigurationError, match="'workers' must be 1 with backend=jax, not 2"):
        check_order(order("keras_cnn", workers=2))


def test_the_default_that_is_shown_is_the_one_that_counts(settings: Any) -> None:
    settings.TRAINING_KERAS_BACKEND = "torch"
    shown = {info.name: {p.name: p.default for p in info.parameters} for info in list_recipes()}
    keras = ("keras_cnn", "keras_tabular", "text_classifier", "forecaster", "image_transfer", "detector")
    assert [shown[name]["backend"] for name in keras] == ["torch"] * len(keras)
    assert [name for name in shown if "backend" in shown[name]] == sorted(keras)
    assert {p.name: p.default for p in get_recipe("keras_cnn").parameters} == shown["keras_cnn"]
