"""Real platforms for the end-to-end tests: started once a topology, kept for all their tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.topology import Platform, running_postgres, running_redis, single, split

PATIENCE_MS = 30_000


def _platform(kind: str, folder: Path, stack: ExitStack) -> Platform:
    if kind == "single":
        return single(folder / "single")
    if shutil.which("redis-server") is None or not list(Path("/usr/lib/postgresql").glob("*/bin")):
        pytest.skip("the split needs Debian's redis-server and postgresql")
    database_url = stack.enter_context(running_postgres(folder / "postgres"))
    redis_url = stack.enter_context(running_redis(folder / "redis"))
    return split(folder / "split", database_url=database_url, redis_url=redis_url)


@pytest.fixture(scope="module", params=["single", "split"])
def any_platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Give a running platform, once as one process tree and once split."""
    with run_platform(request.param, tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Give a running platform in one process tree."""
    with run_platform("single", tmp_path_factory) as running:
        yield running


@contextmanager
def run_platform(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Run a platform as one process tree ('single') or a tree a role ('split'), in a folder of its own."""
    folder = tmp_path_factory.mktemp(kind)
    folder.chmod(0o755)
    for parent in takewhile(lambda path: path != Path(tempfile.gettempdir()), folder.parents):
        parent.chmod(0o755)  # PostgreSQL runs as its own user and must reach its folder
    with ExitStack() as stack:
        running = _platform(kind, folder, stack)
        stack.callback(running.stop)
        running.start()
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page(browser: Any, platform: Platform) -> Iterator[Any]:
    """Give one person's page, logged in; a script's error or a request to another server fails the module."""
    context = browser.new_context(base_url=platform.console_url, viewport={"width": 1360, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfinished", lambda sent: problems.append(sent.url) if _is_foreign(sent.url, platform) else None)
    page.goto("/admin/")
    page.locator("[name=username]").fill(platform.admin_user)
    page.locator("[name=password]").fill(platform.admin_password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("What matters now").first.wait_for()
    yield page
    context.close()
    assert problems == []


def _is_foreign(url: str, platform: Platform) -> bool:
    return not url.startswith((platform.console_url, "data:", "blob:"))
