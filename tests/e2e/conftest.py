"""Real platforms for the end-to-end tests: started once a topology, kept for all their tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

import pytest

from tests.e2e.topology import Platform, running_postgres, running_redis, single, split


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
    yield from _run(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Give a running platform in one process tree."""
    yield from _run("single", tmp_path_factory)


def _run(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp(kind)
    folder.chmod(0o755)
    for parent in takewhile(lambda path: path != Path(tempfile.gettempdir()), folder.parents):
        parent.chmod(0o755)  # PostgreSQL runs as its own user and must reach its folder
    with ExitStack() as stack:
        running = _platform(kind, folder, stack)
        stack.callback(running.stop)
        running.start()
        yield running
