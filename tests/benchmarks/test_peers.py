"""Every peer's folder is whole, and what a server started is found and ended."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.bodies import _ENCODERS
from benchmarks.measure import PROTOCOLS
from benchmarks.processes import Server, ServerError

FORK = """
import os, time
if os.fork() == 0:
    os.setsid()
until = time.process_time() + 0.1
while time.process_time() < until:
    pass
time.sleep(60)
"""


@pytest.mark.parametrize("name", peers.names())
def test_a_peer_says_how_it_runs_and_why(name: str) -> None:
    peer = peers.read_peer(name)
    assert peer.title
    assert len(peer.why) > 50
    assert {route.form for route in peer.routes.values()} <= set(_ENCODERS)
    assert set(peer.routes) <= {protocol.route for protocol in PROTOCOLS.values()}
    requirements = (peer.folder / "requirements.txt").read_text().split()
    assert all(re.search(r"==[0-9]", line) for line in requirements), "versions are exact"


def test_the_processes_of_a_server_are_found_and_ended_even_after_they_left_its_session(tmp_path: Path) -> None:
    server = Server("x", [sys.executable, "-c", FORK], env=dict(os.environ), cwd=tmp_path, log=tmp_path / "log")
    server.start()
    try:
        server.wait_until(lambda: len(server.pids()) == 2, within_s=20)
        server.wait_until(lambda: server.memory_bytes() > 1_000_000, within_s=20)
        server.wait_until(lambda: server.cpu_s() >= 0.15, within_s=20)
    finally:
        server.stop()
    assert server.pids() == []


def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    server = Server("x", command, env=dict(os.environ), cwd=tmp_path, log=tmp_path / "log")
    server.start()
    with pytest.raises(ServerError, match="the port is taken"):
        server.wait_until(lambda: False, within_s=20)
    server.stop()
