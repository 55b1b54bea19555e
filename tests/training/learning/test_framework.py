"""A framework is loaded beside other work, and what is wrong with it is said by who needs it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.recipes import framework
from training.recipes.framework import load_beside


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of modules that can be imported, which stand for frameworks."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(framework._MODULES, "made_up", ("made_up_engine", "made_up_layers"))
    yield tmp_path
    for name in framework._MODULES["made_up"]:
        sys.modules.pop(name, None)


def test_all_modules_of_a_framework_are_loaded(shelf: Path) -> None:
    (shelf / "made_up_engine.py").write_text("")
    (shelf / "made_up_layers.py").write_text("")
    load_beside("made_up").join(30)
    assert {"made_up_engine", "made_up_layers"} <= sys.modules.keys()


def test_a_framework_that_cannot_be_loaded_costs_nothing_but_itself(shelf: Path) -> None:
    (shelf / "made_up_engine.py").write_text("raise RuntimeError('no such driver')")
    (shelf / "made_up_layers.py").write_text("")
    load_beside("made_up").join(30)
    assert "made_up_layers" in sys.modules
    with pytest.raises(RuntimeError, match="no such driver"):
        importlib.import_module("made_up_engine")


def test_a_recipe_of_no_known_framework_has_nothing_loaded() -> None:
    before = set(sys.modules)
    load_beside("numpy").join(30)
    assert set(sys.modules) == before
