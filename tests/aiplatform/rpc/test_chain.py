"""Where the gRPC door stands: which processes serve it, and on whose port."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from aiplatform.errors import InvalidConfigurationError
from aiplatform.rpc.chain import grpc_lifespans, require_free_port
from gateway.checks import check_grpc


@pytest.mark.parametrize(
    ("bind", "roles", "is_served"),
    [
        ("", {"gateway", "inference"}, False),
        ("127.0.0.1:8500", {"gateway"}, True),
        ("127.0.0.1:8500", {"inference"}, True),
        ("127.0.0.1:8500", {"training", "monitoring", "console"}, False),
    ],
)
def test_grpc_is_served_where_it_has_an_address_and_a_role_that_predicts(
    settings: Any, bind: str, roles: set[str], is_served: bool
) -> None:
    settings.GRPC_BIND, settings.ROLES = bind, frozenset(roles)
    assert bool(grpc_lifespans()) is is_served


def test_a_port_that_another_process_shares_out_is_refused(settings: Any) -> None:
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        settings.GRPC_BIND = f"127.0.0.1:{stranger.getsockname()[1]}"
        with pytest.raises(InvalidConfigurationError, match="GRPC_BIND"):
            require_free_port()
    require_free_port()


@pytest.mark.parametrize(
    ("addresses", "problem"),
    [("", "not set"), ("http://inference:8500", "not an address"), ("inference", "not an address"), ("a:1, b:2", "")],
)
def test_a_gateway_alone_must_know_where_to_pass_grpc_on(settings: Any, addresses: str, problem: str) -> None:
    settings.GRPC_BIND, settings.ROLES = "127.0.0.1:8500", frozenset({"gateway"})
    settings.INFERENCE_GRPC_URL = addresses
    assert [problem in str(found) for found in check_grpc(None)] == ([True] if problem else [])
