"""Runs the real Prometheus tools of the system: promtool, amtool, an Alertmanager."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

CONFIG = """
route: {receiver: nobody, group_wait: 1s}
receivers: [{name: nobody}]
"""


def need(program: str) -> str:
    """Return the path of a program; skip the test without it, unless nothing may be skipped."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return path


def run_tool(program: str, *arguments: str, cwd: Path | None = None) -> str:
    """Return what a tool prints; it must succeed."""
    done = subprocess.run([need(program), *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def started_alertmanager(folder: Path, *, port: int = 0) -> Iterator[str]:
    """Run an Alertmanager on loopback, and give its address."""
    port = port or free_port()
    (folder / "alertmanager.yml").write_text(CONFIG)
    command = [
        need("prometheus-alertmanager"), "--config.file=alertmanager.yml", f"--storage.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def alerts_of(url: str) -> list[dict[str, Any]]:
    """Return the active alerts of an Alertmanager, over its API."""
    found: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts", params={"active": "true"}).raise_for_status().json()
    return found


def amtool_alerts(url: str) -> list[dict[str, Any]]:
    """Return the alerts that amtool shows."""
    found: list[dict[str, Any]] = json.loads(run_tool("amtool", "alert", "--alertmanager.url", url, "-o", "json"))
    return found


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        assert process.poll() is None, "the Alertmanager did not start"
        try:
            if httpx.get(f"{url}/-/ready").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the Alertmanager did not become ready")
