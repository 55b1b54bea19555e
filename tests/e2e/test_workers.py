"""Several HTTP workers are one platform: their metrics add up, and one that dies is replaced."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from aiplatform.machine_code.loader import BUILT, look
from tests.e2e.topology import Platform, single, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.xdist_group("e2e")]


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Give a running platform with two HTTP workers."""
    platform = single(tmp_path_factory.mktemp("workers") / "single", WEB_WORKERS="2")
    platform.start()
    yield platform
    platform.stop()


def worker_pids(platform: Platform) -> set[int]:
    """Return the process ids of the HTTP workers: the children of gunicorn's arbiter."""
    process = platform.servers["all"].process
    assert process is not None
    arbiters = [pid for pid in children(process.pid) if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return {worker for arbiter in arbiters for worker in children(arbiter)}


def children(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def test_the_workers_run_machine_code_where_it_was_built(two_workers: Platform) -> None:
    workers = wait_until(lambda: worker_pids(two_workers), within_s=30, what="the workers are known")
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in workers]
    assert [str(BUILT) in text for text in maps] == [look().is_used] * 2


def refused_requests(platform: Platform) -> float:
    """Return how many predictions without a token were answered with 401, over all workers."""
    text = platform.request("GET", "/metrics", token="").text
    counts = re.findall(r'^aiplatform_gateway_requests_total\{route="predict",status="401"\} ([0-9.e+]+)$', text, re.M)
    return sum(map(float, counts))


def test_the_metrics_of_all_workers_add_up(two_workers: Platform) -> None:
    before = refused_requests(two_workers)
    for _ in range(60):  # each on a connection of its own, so that both workers take some
        answer = two_workers.request(
            "POST", "/v1/models/x:predict", token="", json={"instances": [1]}, headers={"Connection": "close"}
        )
        assert answer.status_code == 401
    wait_until(lambda: refused_requests(two_workers) - before >= 60, within_s=10, what="each worker has handed over")
    assert refused_requests(two_workers) - before == 60


def test_a_worker_that_is_killed_is_replaced_and_the_platform_answers_meanwhile(two_workers: Platform) -> None:
    workers = wait_until(lambda: worker_pids(two_workers), within_s=30, what="the workers are known")
    assert len(workers) == 2
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)
    # What the dying worker had accepted is lost with it; nothing after that may be.
    wait_until(lambda: victim not in worker_pids(two_workers), within_s=10, what="the worker is dead")
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        assert two_workers.request("GET", "/health/live", headers={"Connection": "close"}).status_code == 200
        now = worker_pids(two_workers)
        if len(now) == 2 and victim not in now:
            break
        time.sleep(0.1)
    assert len(worker_pids(two_workers) - {victim}) == 2


def test_workers_that_are_replaced_under_load_fail_no_request(two_workers: Platform) -> None:
    done = threading.Event()

    answered_s: list[float] = []

    def ask_on_a_kept_connection() -> list[int]:
        statuses = []
        with httpx.Client(base_url=two_workers.url, timeout=30, trust_env=False) as client:
            while not done.is_set():
                statuses.append(client.post("/v1/models/x:predict", json={"instances": [1]}).status_code)
                answered_s.append(time.monotonic())
        return statuses

    with ThreadPoolExecutor(8) as clients:
        asking = [clients.submit(ask_on_a_kept_connection) for _ in range(8)]
        try:
            began_s = time.monotonic()
            for _ in range(2):
                before = worker_pids(two_workers)
                os.kill(arbiter_pid(two_workers), signal.SIGHUP)
                wait_until(partial(have_changed, two_workers, before), within_s=60, what="all workers are new")
            took_s = (time.monotonic() - began_s) / 2
        finally:
            done.set()
        statuses = [status for client in asking for status in client.result()]
    assert set(statuses) == {401}, "no token: but an answer, each time"
    assert len(statuses) > 100
    moments_s = sorted(answered_s)
    longest_gap_s = max(after - before for before, after in pairwise(moments_s))
    assert longest_gap_s < took_s / 2, "the old workers went before the new ones served"


def test_workers_that_are_replaced_under_load_fail_no_grpc_call(two_workers: Platform) -> None:
    done = threading.Event()

    def ask_on_a_kept_channel(number: int) -> list[str]:
        answers = []
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        with grpc.insecure_channel(two_workers.grpc_address, options) as channel:
            ask: Any = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            while not done.is_set():
                try:
                    answers.append(ask(b"", timeout=30).hex())
                except grpc.RpcError as error:
                    answers.append(str(error))
        return answers

    with ThreadPoolExecutor(8) as clients:
        asking = [clients.submit(ask_on_a_kept_channel, number) for number in range(8)]
        try:
            for _ in range(2):
                before = worker_pids(two_workers)
                os.kill(arbiter_pid(two_workers), signal.SIGHUP)
                wait_until(partial(have_changed, two_workers, before), within_s=60, what="all workers are new")
        finally:
            done.set()
        answers = [answer for client in asking for answer in client.result()]
    assert set(answers) == {"0801"}
    assert len(answers) > 100


def arbiter_pid(platform: Platform) -> int:
    """Return gunicorn's arbiter."""
    process = platform.servers["all"].process
    assert process is not None
    [arbiter] = [pid for pid in children(process.pid) if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return arbiter


def have_changed(platform: Platform, before: set[int]) -> bool:
    """Say whether there are two workers, and none of those before."""
    now = worker_pids(platform)
    return len(now) == 2 and not now & before
