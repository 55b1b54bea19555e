"""The platforms that all clients ask: one of each kind, started and trained once for all files of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.clients.served import serve_customers, serve_digits
from tests.e2e.conftest import run_platform
from tests.e2e.topology import Platform


@pytest.fixture(scope="package", params=["single", "split"])
def serving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Give a platform that serves a model of pictures and one of texts.

    Tests for which one kind is enough say so: `pytest.mark.parametrize("serving", ["single"], indirect=True)`.
    They leave the platform as they found it: the same two models at version 1.
    """
    with run_platform(request.param, tmp_path_factory) as platform:
        serve_digits(platform)
        serve_customers(platform)
        yield platform
