"""`train new` writes a recipe that works, with a test that passes; a recipe is found in any installed package."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.conftest import ROOT
from training.recipes.registry import get_recipe, list_recipes, resolve_parameters

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def new(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command("train", "new", name, *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("backend", ["keras", pytest.param("torch", marks=pytest.mark.torch)])
def test_the_written_recipe_passes_its_test(backend: str, tmp_path: Path) -> None:
    package = tmp_path / "lab"
    package.mkdir()
    (package / "__init__.py").touch()
    made = json.loads(new("wide_layer", "--backend", backend, "--into", str(package), "--json"))
    assert made["path"] == "lab.wide_layer:WideLayer"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), made["test"]],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    style = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "120", str(package)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert style.returncode == 0, style.stdout


def test_what_to_do_next_is_said(tmp_path: Path) -> None:
    said = new("my_recipe", "--into", str(tmp_path))
    assert f"PYTHONPATH={tmp_path} python manage.py train run my_recipe:MyRecipe --data digits" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My-Recipe", "small letters, digits and _, a letter first; not 'My-Recipe'"),
        ("class", "not 'class'"),
        ("keras_cnn", "a recipe named 'keras_cnn' is there already"),
        ("json", "Python has a module named 'json' already"),
        ("taken", "is there already; nothing was written"),
    ],
)
def test_names_that_cannot_be_are_refused(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "test_taken.py").touch()
    with pytest.raises(CommandError, match=message):
        new(name, "--into", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["test_taken.py"]


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no folder"):
        new("my_recipe", "--into", str(tmp_path / "nowhere"))


def test_a_recipe_of_an_installed_package_has_its_entry_points_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package is its modules and a dist-info beside them: this is one."""
    new("deep_layer", "--into", str(tmp_path))
    distribution = tmp_path / "lab-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text("[aiplatform.recipes]\ndeep_layer = deep_layer:DeepLayer\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found: dict[str, Any] = {info.name: info for info in list_recipes()}
    assert found["deep_layer"].path == "deep_layer:DeepLayer"
    assert get_recipe("deep_layer").framework == "tensorflow"
    assert resolve_parameters("deep_layer", {"units": "7"})["units"] == 7
    monkeypatch.delitem(sys.modules, "deep_layer", raising=False)
