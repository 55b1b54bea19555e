"""A store of its own for each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def store_folder(tmp_path: Path, settings: Any, db: None) -> Path:
    """Give the folder of the prediction store."""
    settings.ARTIFACT_STORE = f"file://{tmp_path}/artifacts"
    settings.PREDICTION_HASH_SECRETS = ["development-only-hash-secret"]
    return tmp_path / "artifacts" / "predictions"
