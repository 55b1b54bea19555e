"""Serving says what it holds, and is not disturbed by a ledger that is away."""

from __future__ import annotations

import asyncio
import os
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aiplatform.contracts.training import ReportHoldings
from aiplatform.errors import UnavailableError
from aiplatform.gpus import open_gpus
from aiplatform.http.in_process import in_process_client
from aiplatform.machine import resident_bytes, this_host, this_machine
from inference.holdings import HoldingsReporter
from inference.loaded import LoadedVersion
from inference.replica import Replica
from inference.serving import ServingRuntime, runtime
from tests.inference.endpoints.fakes import poll
from tests.nvml import GIB, FakeNvml
from training.models import ServingHolding

MIB = 2**20


def loaded(endpoint: str, version: int, size: int) -> LoadedVersion:
    fields = {"endpoint": endpoint, "version": version, "memory_bytes": size, "info": SimpleNamespace(model="m")}
    return cast("LoadedVersion", SimpleNamespace(**fields))


def reporter(versions: list[LoadedVersion], tell: Any, **fields: Any) -> HoldingsReporter:
    defaults: dict[str, Any] = {"measure": lambda: (1000 * MIB, 1200 * MIB), "open_devices": lambda: None}
    return HoldingsReporter(replica="r1", list_loaded=lambda: versions, tell=tell, **{**defaults, **fields})


def test_versions_and_the_rest_of_the_process_add_up_to_what_is_resident() -> None:
    told: list[ReportHoldings] = []
    versions = [loaded("digits", 1, 300 * MIB), loaded("digits", 2, 200 * MIB)]
    reporter(versions, told.append).step()
    report = told[0]
    assert (report.machine, report.host, report.replica) == (this_machine(), this_host(), "r1")
    assert [(one.endpoint, one.version, one.memory_bytes // MIB) for one in report.holdings] == [
        ("digits", 1, 300), ("digits", 2, 200), ("", 0, 500),
    ]  # fmt: skip
    assert report.holdings[-1].memory_peak_bytes == 1200 * MIB


def test_a_version_that_is_loaded_twice_while_its_engine_changes_is_reported_once() -> None:
    told: list[ReportHoldings] = []
    reporter([loaded("digits", 1, 300 * MIB), loaded("digits", 1, 310 * MIB)], told.append).step()
    assert [(one.version, one.memory_bytes // MIB) for one in told[0].holdings] == [(1, 310), (0, 690)]


def test_what_the_process_holds_of_devices_is_reported_and_nobody_elses() -> None:
    told: list[ReportHoldings] = []
    nvml = FakeNvml(count=2)
    nvml.processes = {0: {os.getpid(): 3 * GIB, 1: GIB}, 1: {1: GIB}}
    reporter([], told.append, open_devices=lambda: open_gpus(nvml)).step()
    assert told[0].holdings[0].gpus == {"GPU-0": 3 * GIB}


def test_a_ledger_that_is_away_is_told_again_with_the_next_step() -> None:
    told: list[ReportHoldings] = []
    is_away = True

    def tell(report: ReportHoldings) -> None:
        if is_away:
            raise UnavailableError("training cannot be reached")
        told.append(report)

    one = reporter([], tell)
    one.step()
    one.step()
    assert told == []
    is_away = False
    one.step()
    assert len(told) == 1


def test_an_orderly_end_says_that_nothing_is_held_and_waits_no_longer_than_it_may() -> None:
    told: list[ReportHoldings] = []
    reporter([loaded("digits", 1, MIB)], told.append).stop(timeout_s=10)
    assert told[0].holdings == ()
    stuck = threading.Event()
    reporter([], lambda _: stuck.wait(60)).stop(timeout_s=0.01)  # returns, though nobody answers
    stuck.set()


def test_this_process_is_measured() -> None:
    now, peak = resident_bytes()
    assert MIB < now <= peak


def test_where_nothing_is_known_of_a_process_it_holds_nothing(tmp_path: Any) -> None:
    assert resident_bytes(proc=tmp_path) == (0, 0)
    assert this_machine(proc=tmp_path)


@pytest.mark.django_db(transaction=True)
def test_a_whole_serving_process_reports_to_the_ledger_and_takes_its_word_back(tmp_path: Any, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("gateway.")]
    in_process_client.cache_clear()
    replica = Replica(ServingRuntime(runtime().options))
    asyncio.run(replica.start())
    try:
        poll(lambda: ServingHolding.objects.filter(replica=replica.name).exists(), what="the report")
        assert ServingHolding.objects.get(replica=replica.name).memory_bytes > MIB
    finally:
        asyncio.run(replica.stop())
        in_process_client.cache_clear()
    poll(lambda: not ServingHolding.objects.exists(), what="the word taken back")
