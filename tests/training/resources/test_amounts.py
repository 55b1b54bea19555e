"""What fits where, and what a run is given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from aiplatform.gpus import open_gpus
from tests.nvml import FakeNvml
from training.resources.amounts import Ask, Capacity, Estimate, Need, can_ever_fit, fits, grant_on, need_on, with_holder
from training.resources.capacity import choose_gpus, cpu_quota, measure_capacity

from .machines import GIB, device, machine, run_holder


def need(**fields: Any) -> Need:
    return Need(**{"cores": 1.0, "memory_bytes": 0, "is_memory_asked": True, "gpus": 0, **fields})


@pytest.mark.parametrize(("slots", "cores"), [(1, 2.0), (2, 1.0), (3, 0.66), (4, 0.5), (1000, 0.01)])
def test_a_run_that_asks_for_nothing_gets_an_equal_share_and_so_many_fit(slots: int, cores: float) -> None:
    host = machine(cores=2, slots=slots)
    default = need_on(Ask(), Estimate(), host.capacity)
    assert default.cores == cores
    started = 0
    while fits(default, host) and started < 2000:
        host = with_holder(host, "run", grant_on(default, host))
        started += 1
    assert started == min(slots, 200)  # a hundredth of a core is the least


def test_memory_is_what_was_ordered_else_what_was_measured_else_half_a_share() -> None:
    capacity = machine(memory=8 * GIB, slots=2).capacity
    asked = need_on(Ask(memory_bytes=GIB), Estimate(memory_bytes=3 * GIB), capacity)
    known = need_on(Ask(), Estimate(memory_bytes=3 * GIB), capacity)
    unknown = need_on(Ask(), Estimate(), capacity)
    assert [(n.memory_bytes, n.is_memory_asked) for n in (asked, known, unknown)] == [
        (GIB, True), (3 * GIB, False), (2 * GIB, False),
    ]  # fmt: skip


def test_an_estimate_above_the_machine_is_the_machine() -> None:
    capacity = machine(memory=GIB).capacity
    assert can_ever_fit(need_on(Ask(), Estimate(memory_bytes=9 * GIB), capacity), capacity)


def test_an_estimate_waits_for_other_runs_and_not_for_serving_but_an_order_waits_for_both() -> None:
    serving = dataclasses.replace(run_holder(memory_bytes=6 * GIB), is_run=False)
    other = run_holder(memory_bytes=6 * GIB)
    estimated, ordered = need(memory_bytes=4 * GIB, is_memory_asked=False), need(memory_bytes=4 * GIB)
    assert fits(estimated, machine(holders=[serving]))
    assert not fits(estimated, machine(holders=[other]))
    assert not fits(ordered, machine(holders=[serving]))


def test_settings_that_shrank_while_leases_are_held_leave_nothing_free_and_not_less() -> None:
    host = machine(cores=2, memory=GIB, holders=[run_holder(cores=4, memory_bytes=3 * GIB)])
    assert (host.free_cores, host.free_memory_bytes) == (0, 0)
    assert not fits(need(), host)


def test_whole_cores_are_bound_to_those_that_fewest_runs_have_and_shares_are_not() -> None:
    host = machine(cores=4, holders=[run_holder(cores=2, cpus=(0, 1))])
    assert grant_on(need(cores=2), host).cpus == (2, 3)
    assert grant_on(need(cores=0.5), host).cpus == ()
    assert grant_on(need(cores=4), machine(cores=4)).cpus == ()  # all of them: no need


@pytest.mark.parametrize(("cores", "threads"), [(0.1, 1), (1.0, 1), (1.5, 2), (4.0, 4)])
def test_a_grant_has_as_many_threads_as_cores_that_it_touches(cores: float, threads: int) -> None:
    assert grant_on(need(cores=cores), machine()).threads == threads


def test_a_device_is_one_runs_alone_and_free_ones_are_given_emptiest_first() -> None:
    host = machine(gpus=2, holders=[run_holder(gpus={"GPU-0": 0})])
    assert grant_on(need(gpus=1), host).gpu_uuids == ("GPU-1",)
    assert not fits(need(gpus=2), host)
    assert grant_on(need(gpus=0), host).gpu_uuids == ()  # sees none
    assert grant_on(need(gpus=0), machine()).gpu_uuids is None  # there are none: nothing is hidden


def test_a_device_that_serving_uses_is_given_only_for_known_memory_that_is_left() -> None:
    serving = dataclasses.replace(run_holder(gpus={"GPU-0": 10 * GIB}), is_run=False)
    host = machine(gpus=1, holders=[serving])
    assert not fits(need(gpus=1), host)
    assert fits(need(gpus=1, gpu_memory_bytes=6 * GIB), host)
    assert not fits(need(gpus=1, gpu_memory_bytes=7 * GIB), host)


def test_what_strangers_hold_of_a_device_counts_too() -> None:
    capacity = Capacity(cores=1, memory_bytes=0, gpus=(device(0, used=15 * GIB),))
    host = dataclasses.replace(machine(), capacity=capacity)
    assert not fits(need(gpus=1, gpu_memory_bytes=2 * GIB), host)
    assert fits(need(gpus=1, gpu_memory_bytes=GIB), host)


def test_a_machine_with_devices_gives_a_run_without_a_word_its_share_and_at_least_one() -> None:
    shares = [need_on(Ask(), Estimate(), machine(gpus=4, slots=slots).capacity).gpus for slots in (1, 2, 8)]
    assert shares == [4, 2, 1]


def test_nvml_tells_devices_and_who_holds_them_and_a_lost_device_does_not_hide_the_others() -> None:
    nvml = FakeNvml(count=3, broken=(1,))
    nvml.processes = {0: {10: GIB, 11: 2 * GIB}, 2: {10: GIB}}
    gpus = open_gpus(nvml)
    assert gpus is not None
    assert [(one.uuid, one.used_bytes) for one in gpus.devices()] == [("GPU-0", 3 * GIB), ("GPU-2", GIB)]
    assert gpus.held_by({10}) == {"GPU-0": GIB, "GPU-2": GIB}
    assert gpus.measure({10}) == (0.5, 2 * GIB)


@pytest.mark.parametrize("nvml", [FakeNvml(count=0), FakeNvml(has_driver=False)])
def test_a_machine_without_devices_or_driver_has_no_gpus(nvml: FakeNvml) -> None:
    assert open_gpus(nvml) is None


@pytest.mark.parametrize(
    ("wanted", "found"), [(["all"], [0, 1]), (["none"], []), (["1"], [1]), (["GPU-0"], [0]), (["7"], [])]
)
def test_settings_choose_devices_by_number_or_uuid(wanted: list[str], found: list[int]) -> None:
    assert [one.index for one in choose_gpus([device(0), device(1)], wanted)] == found


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_limit_of_cores_is_read(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_quota(tmp_path) == quota


def test_a_container_offers_its_limits_and_settings_make_them_less(tmp_path: Path, settings: Any) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    proc.mkdir()
    cgroup.mkdir()
    (proc / "meminfo").write_text(f"MemTotal: {16 * 2**20} kB\n")
    (cgroup / "memory.max").write_text(f"{4 * GIB}\n")
    (cgroup / "cpu.max").write_text("300000 100000\n")
    whole = measure_capacity(proc=proc, cgroup=cgroup, cpus=range(8))
    assert (whole.cores, whole.memory_bytes, whole.has_own_cores, whole.has_own_memory) == (3, 4 * GIB, True, True)
    settings.TRAINING_CORES, settings.TRAINING_MEMORY_BYTES = 2.0, GIB
    less = measure_capacity(proc=proc, cgroup=cgroup, cpus=range(8))
    assert (less.cores, less.memory_bytes) == (2, GIB)
