"""What all tests share: which tests may be left out, and where shared data lies."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run; begin with what takes long, so that no worker ends alone."""
    reasons = {
        "torch": None if importlib.util.find_spec("torch") else "PyTorch is not installed (TORCH=0)",
        "jax": None if importlib.util.find_spec("jax") else "JAX is not installed (JAX=0)",
        "shared": None if (SHARED / "data").is_dir() else "the shared data folder is not beside this checkout",
        "browser": None if Path("/usr/bin/chromium").exists() else "Debian's chromium is not installed",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    items.sort(key=lambda item: item.get_closest_marker("long") is None)  # stable: files stay whole and in order


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where everything must run (REQUIRE_ALL=1), a skipped test is a failed run; other servers need not be there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    skipped = sum("peer" not in getattr(report, "keywords", ()) for report in reports)
    if os.environ.get("REQUIRE_ALL") == "1" and skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets; tests that use it are marked `shared`."""
    return SHARED / "data"
