"""Counts shared through a real Redis."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.limits.limiter import Limiter
from gateway.limits.rates import parse_rate
from gateway.limits.redis_counts import RedisCounts

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path), "--bind", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        ends_at_s = time.monotonic() + 10
        while time.monotonic() < ends_at_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def test_two_limiters_keep_one_limit_through_redis(redis_url: str) -> None:
    rate = parse_rate("200/day")
    limiters = [Limiter(processes=2, store=RedisCounts(redis_url)) for _ in range(2)]
    passed = 0
    for _ in range(60):
        for limiter in limiters:
            passed += sum(limiter.admit(("7", "predict"), rate).is_allowed for _ in range(4))
            limiter.share_counts()
    assert 200 <= passed <= 204


def test_counters_expire_in_redis(redis_url: str) -> None:
    counts = RedisCounts(redis_url)
    assert counts.add_counts({"a": 2, "b": 3}, keep_s={"a": 120, "b": 120}) == [2, 3]
    assert counts.add_counts({"a": 0}, keep_s={"a": 120}) == [2]
    assert 0 < counts._client.ttl("aiplatform:rate:a") <= 120


def test_a_redis_that_is_away_is_a_connection_error() -> None:
    with pytest.raises(ConnectionError, match="Redis did not count"):
        RedisCounts("redis://127.0.0.1:1/0").add_counts({"a": 1}, keep_s={"a": 2})
