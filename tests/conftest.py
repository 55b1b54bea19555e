"""What all tests share: which may be left out, which are run by the same worker, and where shared data lies."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.work_units import unit_of

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Where machine code was asked for (MACHINE_CODE=1), tests of the interpreter would say nothing."""
    from django.conf import settings

    found = settings.FOUND_MACHINE_CODE
    if found is not None and not found.is_used:
        raise pytest.UsageError(f"there is no machine code to test: {found.problem}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only end-to-end tests are asked for, import only files that have any: all take 15 s of each worker."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if not is_test or not re.match(r"e2e\b", config.option.markexpr):
        return None
    return True if "mark.e2e" not in collection_path.read_text() else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where whole files were to stay with one worker (--dist loadfile), divide at what is started once instead."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class UnitScheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    return UnitScheduling(config, log)


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
    items.sort(key=_turn)  # stable: what has the same turn stays whole and in order


def _turn(item: pytest.Item) -> int:
    """Return when a test is begun: first what takes minutes, then what is long, then all the rest."""
    marker = item.get_closest_marker("long")
    if marker is None:
        return 2
    return 0 if marker.kwargs.get("takes_minutes") else 1


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where everything must run (REQUIRE_ALL=1), a skipped test is a failed run.

    Other servers need not be there, nor what a machine or its kernel lacks.
    """
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    skipped = sum(not {"peer", "machine"} & set(getattr(report, "keywords", ())) for report in reports)
    if os.environ.get("REQUIRE_ALL") == "1" and skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets; tests that use it are marked `shared`."""
    return SHARED / "data"
