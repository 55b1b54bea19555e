"""Recipes are found by name or path; their parameters are checked; nothing heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from aiplatform.errors import InvalidConfigurationError
from tests.training.recipes.softmax_regression import PATH
from training.recipes.parameters import FitParameters, parameter, resolve
from training.recipes.recipe import Recipe
from training.recipes.registry import get_recipe, list_recipes, resolve_parameters


def test_listing_recipes_imports_no_framework_and_no_django() -> None:
    code = (
        "import sys; from training.recipes.registry import list_recipes, resolve_parameters\n"
        "names = [r.name for r in list_recipes()]; resolve_parameters('keras_cnn', {'epochs': '3'})\n"
        "import training.learning\n"
        "heavy = {'tensorflow', 'keras', 'torch', 'django', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'{names} {heavy}' if heavy or len(names) < 3 else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_shipped_recipes_are_described() -> None:
    recipes = {info.name: info for info in list_recipes()}
    assert {"keras_cnn", "keras_tabular", "torch_cnn"} <= set(recipes)
    epochs = next(p for p in recipes["keras_cnn"].parameters if p.name == "epochs")
    assert (epochs.type, epochs.default, epochs.minimum, epochs.maximum) == ("int", 8, 1, 10_000)
    assert all(p.help for info in recipes.values() for p in info.parameters)


def test_a_recipe_is_found_by_its_dotted_path() -> None:
    info = get_recipe(PATH)
    assert (info.name, info.framework, info.data_kind) == (PATH, "numpy", "images")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("keras_cn", "no recipe is named 'keras_cn'; there are detector, forecaster"),
        ("nowhere.at_all:Recipe", "cannot be imported"),
        ("training.recipes.registry:Nothing", "cannot be imported"),
        ("training.recipes.registry:RecipeInfo", "must be a class derived from"),
        ("", "no recipe is named ''"),
    ],
)
def test_what_is_no_recipe_is_refused(name: str, message: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=message):
        get_recipe(name)


def test_texts_become_typed_values_and_defaults_fill_in() -> None:
    values = resolve_parameters("keras_cnn", {"epochs": "3", "dropout": "0.5"})
    assert (values["epochs"], values["dropout"]) == (3, 0.5)
    assert (values["batch_size"], values["learning_rate"], values["schedule"]) == (0, 0.002, "cosine")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"epoch": 3}, r"has no parameter 'epoch' \(did you mean 'epochs'\?\); it has: augment, backend, batch_size"),
        ({"epochs": "three"}, "'epochs' must be of type int, not 'three'"),
        ({"epochs": "2.5"}, "'epochs' must be of type int, not '2.5'"),
        ({"epochs": 0}, "'epochs' must be at least 1, not 0"),
        ({"epochs": True}, "'epochs' must be of type int, not 'True'"),
        ({"dropout": "0.95"}, "'dropout' must be at most 0.9, not 0.95"),
        ({"learning_rate": "nan"}, "'learning_rate' must be of type float, not 'nan'"),
        ({"learning_rate": None}, "'learning_rate' must be of type float, not 'None'"),
    ],
)
def test_a_wrong_parameter_names_the_rule_and_the_value(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=message):
        resolve_parameters("keras_cnn", raw)


def test_choices_and_switches() -> None:
    from training.recipes.parameters import Parameter

    rules = (
        Parameter(name="kind", type="str", default="a", choices=("a", "b")),
        Parameter(name="fast", type="bool", default=False),
    )
    assert resolve(rules, {"kind": "b", "fast": "yes"}, owner="x") == {"kind": "b", "fast": True}
    with pytest.raises(InvalidConfigurationError, match="'kind' must be one of a, b, not 'c'"):
        resolve(rules, {"kind": "c"}, owner="x")
    with pytest.raises(InvalidConfigurationError, match="'fast' must be of type bool, not 'perhaps'"):
        resolve(rules, {"fast": "perhaps"}, owner="x")


@pytest.mark.parametrize(("rows", "batch"), [(10, 16), (1295, 16), (5000, 32), (54_000, 128)])
def test_the_batch_size_follows_the_number_of_rows(rows: int, batch: int) -> None:
    assert FitParameters().batch_rows(rows) == batch
    assert FitParameters(batch_size=50).batch_rows(rows) == 50


def test_a_recipe_must_say_how_it_builds() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Recipe()  # type: ignore[abstract]
    assert parameter(1, help="x").default == 1
