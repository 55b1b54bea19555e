"""A registry with three versions of one model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference.endpoints.fakes import FakeRegistry


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    """Return a registry that knows versions 1 to 3 of `digits`."""
    registry = FakeRegistry(tmp_path / "artifacts")
    for version in (1, 2, 3):
        registry.add("digits", version)
    return registry
