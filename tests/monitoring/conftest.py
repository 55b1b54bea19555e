"""What all tests of monitoring share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest


@pytest.fixture(autouse=True)
def early_retention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the windows of the tests' fixed days still be there, whatever day it is: retention looks at the clock."""
    monkeypatch.setattr("monitoring.cover.this_moment", lambda: datetime(2026, 11, 24, tzinfo=UTC))
