"""Every contract case runs twice: in this process, and over real HTTP to a threaded Django server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.conf import settings

from aiplatform.context import outgoing_headers
from aiplatform.http.client import ServiceClient
from aiplatform.http.in_process import in_process_client
from aiplatform.http.transaction import forbid_open_transaction
from aiplatform.identity import Identity, Scope

ADA = Identity(username="ada", scopes=frozenset({Scope.ADMIN}))
NewClient = Callable[..., ServiceClient]


@pytest.fixture(params=["in_process", "http"])
def transport(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[httpx.Client]:
    """Give the HTTP client under the contract, over one of the two transports."""
    if request.param == "in_process":
        yield in_process_client()
        return
    server = request.getfixturevalue("live_server")
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client


@pytest.fixture
def new_client(transport: httpx.Client) -> NewClient:
    """Give a maker of service clients over the transport; its arguments replace the usual ones."""

    def make(**changes: Any) -> ServiceClient:
        usual = {
            "service": "test", "client": transport, "secret": settings.INTERNAL_SECRETS[0], "identity": ADA,
            "timeout_s": 10.0, "guard": forbid_open_transaction, "headers": outgoing_headers,
        }  # fmt: skip
        return ServiceClient(**{**usual, **changes})

    return make
