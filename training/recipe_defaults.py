"""Recipes as this platform offers them: with the defaults that a setting chooses in place of the recipe's own."""

from __future__ import annotations

from dataclasses import replace

from django.conf import settings

from training.recipes import registry
from training.recipes.keras_backends import BACKEND, BACKENDS
from training.recipes.parameters import Parameter
from training.recipes.registry import RecipeInfo


def get_recipe(name: str) -> RecipeInfo:
    """Return the recipe of that name or dotted path.

    Raises: InvalidConfigurationError if there is none, or it is not a recipe.
    """
    return _with_defaults(registry.get_recipe(name))


def list_recipes() -> list[RecipeInfo]:
    """Return the shipped and installed recipes, by name; a broken installed one is left out."""
    return [_with_defaults(info) for info in registry.list_recipes()]


def _with_defaults(info: RecipeInfo) -> RecipeInfo:
    return replace(info, parameters=tuple(_with_default(parameter) for parameter in info.parameters))


def _with_default(parameter: Parameter) -> Parameter:
    """Return the parameter; that of Keras' backend, known by its choices too, with the setting as its default."""
    if parameter.name != BACKEND or parameter.choices != BACKENDS:
        return parameter
    return replace(parameter, default=settings.TRAINING_KERAS_BACKEND)
