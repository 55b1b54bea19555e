"""Finds recipes: shipped ones by name, installed ones by entry point, your own by dotted path.

An entry point of the group `aiplatform.recipes` names a class; so does `package.module:Recipe`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import structlog

from aiplatform.errors import InvalidConfigurationError
from training.recipes.parameters import Parameter, describe_parameters, resolve
from training.recipes.recipe import Recipe

log = structlog.get_logger(__name__)

ENTRY_POINT_GROUP = "aiplatform.recipes"
SHIPPED = {
    "detector": "training.recipes.detector:Detector",
    "forecaster": "training.recipes.forecaster:Forecaster",
    "image_transfer": "training.recipes.image_transfer:ImageTransfer",
    "keras_cnn": "training.recipes.keras_cnn:KerasCnn",
    "keras_tabular": "training.recipes.keras_tabular:KerasTabular",
    "text_classifier": "training.recipes.text_classifier:TextClassifier",
    "torch_cnn": "training.recipes.torch_cnn:TorchCnn",
    "torch_tabular": "training.recipes.torch_tabular:TorchTabular",
}
_DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class RecipeInfo:
    """A recipe as people and interfaces see it. `path` is where its class is."""

    name: str
    summary: str
    framework: str
    data_kind: str
    parameters: tuple[Parameter, ...]
    path: str


def list_recipes() -> list[RecipeInfo]:
    """Return the shipped and installed recipes, by name; a broken installed one is left out."""
    return [info for name in sorted(_known_paths()) if (info := _describe_or_warn(name)) is not None]


def get_recipe(name: str) -> RecipeInfo:
    """Return what there is to know of the recipe of that name or dotted path.

    Raises: InvalidConfigurationError if there is none, or it is not a recipe.
    """
    path = _resolve_path(name)
    recipe_class = _import_class(path)
    return RecipeInfo(
        name=name if ":" in name else recipe_class.name,
        summary=recipe_class.summary,
        framework=recipe_class.framework,
        data_kind=recipe_class.data_kind.value,
        parameters=describe_parameters(recipe_class.Parameters),
        path=path,
    )


def load_recipe(name: str) -> Recipe:
    """Return the recipe of that name or dotted path, ready to build a learner.

    Raises: InvalidConfigurationError if there is none, or it is not a recipe.
    """
    return _import_class(_resolve_path(name))()


def resolve_parameters(recipe: str | RecipeInfo, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a typed value for every parameter of the recipe.

    Raises: InvalidConfigurationError naming the rule that is broken and the value received.
    """
    info = get_recipe(recipe) if isinstance(recipe, str) else recipe
    values = resolve(info.parameters, raw, owner=info.name)
    _import_class(info.path).Parameters(**values)  # which may have rules of its own
    return values


def _known_paths() -> dict[str, str]:
    installed = {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    return {**installed, **SHIPPED}


def _resolve_path(name: str) -> str:
    if _DOTTED.fullmatch(name):
        return name
    known = _known_paths()
    if name not in known:
        raise InvalidConfigurationError(
            f"no recipe is named '{name}'; there are {', '.join(sorted(known))}, or your own as 'package.module:Class'"
        )
    return known[name]


def _import_class(path: str) -> type[Recipe]:
    module_name, _, class_name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise InvalidConfigurationError(f"recipe '{path}' cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Recipe)):
        raise InvalidConfigurationError(f"'{path}' must be a class derived from training.recipes.recipe.Recipe")
    return found


def _describe_or_warn(name: str) -> RecipeInfo | None:
    try:
        return get_recipe(name)
    except InvalidConfigurationError as error:
        log.warning("recipe_not_usable", recipe=name, error=str(error))
        return None
