"""A registry and a store of their own, and the command as people call it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

Models = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for models that several tests use."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def models(db: None, tmp_path: Path, settings: Any) -> Models:
    """Return `manage.py models ... --json` with a store of its own."""
    settings.DATA_DIR = tmp_path / "data"
    settings.ARTIFACT_STORE = f"file://{tmp_path}/artifacts"
    settings.ARTIFACT_CACHE_DIR = tmp_path / "cache"

    def call(*arguments: Any) -> list[dict[str, Any]]:
        out = io.StringIO()
        call_command("models", *map(str, arguments), "--json", stdout=out)
        return [json.loads(line) for line in out.getvalue().splitlines()]

    return call
