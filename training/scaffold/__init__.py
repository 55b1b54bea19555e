"""Writes a recipe to begin with, and its test: `manage.py train new`."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from aiplatform.errors import InvalidInputError
from training.recipes.registry import list_recipes

BACKENDS = ("keras", "torch")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class NewRecipe:
    """What was written. `root` is the folder that Python must find the recipe in; `path` its dotted path."""

    recipe: Path
    test: Path
    root: Path
    path: str


def write_recipe(name: str, *, backend: str, into: Path) -> NewRecipe:
    """Write `name.py` and `test_name.py` into a folder; within packages the recipe is a module of theirs.

    Raises: InvalidInputError if the name cannot be a recipe's, the folder is not there, or something would be
    overwritten.
    """
    folder = into.resolve()
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder '{into}' to write the recipe into")
    root = _package_root(folder)
    module = ".".join([*folder.relative_to(root).parts, name])
    _check_name(name, is_top_level=folder == root)
    recipe, test = folder / f"{name}.py", folder / f"test_{name}.py"
    for path in (recipe, test):
        if path.exists():
            raise InvalidInputError(f"'{path}' is there already; nothing was written")
    words = {
        "name": name,
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "module": module,
        "model": name.replace("_", "-"),
    }
    recipe.write_text(_fill(f"{backend}_recipe", words))
    test.write_text(_fill("recipe_test", {**words, "serve": _fill(f"serve_{backend}", words)}).rstrip() + "\n")
    return NewRecipe(recipe=recipe, test=test, root=root, path=f"{module}:{words['Class']}")


def _package_root(folder: Path) -> Path:
    """Return the first folder upwards that is no package."""
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def _check_name(name: str, *, is_top_level: bool) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InvalidInputError(
            f"a recipe's name is a Python module's: small letters, digits and _, a letter first; not '{name}'"
        )
    if name in {info.name for info in list_recipes()}:
        raise InvalidInputError(f"a recipe named '{name}' is there already; see: manage.py train recipes")
    if is_top_level and importlib.util.find_spec(name) is not None:
        raise InvalidInputError(f"Python has a module named '{name}' already, which the recipe would hide")


def _fill(template: str, words: dict[str, str]) -> str:
    return Template((_HERE / f"{template}.txt").read_text()).substitute(words)
