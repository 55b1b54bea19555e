"""A trainer in a cgroup of its own: found where one is delegated, limited, told as such when it ends, and removed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import Bench
from training import doorbell, supervision
from training.checks import check_cgroup
from training.launchers import cgroups
from training.launchers.cgroups import GroupEnd, GroupLimits, find_delegation, make_group, read_end, remove_group
from training.launchers.limits import CGROUP, WATCHED, encode_limits, group_of
from training.launchers.local import LocalLauncher
from training.models import ResourceLease, Run
from training.resources.amounts import Grant
from training.resources.asking import ResourceOrder
from training.resources.reporting import lease_text
from training.services import RunOrder, create_run
from training.states import ExitClass, RunState

from ..stand_in import RECIPE

MIB = 2**20
V2 = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


def plant(folder: Path, *, controllers: str = "cpu memory pids", handed: str = "") -> Path:
    """Make a folder look like a group."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("controllers", controllers), ("subtree_control", handed), ("procs", "")):
        (folder / f"cgroup.{name}").write_text(text)
    return folder


def plant_run(folder: Path, **files: str) -> Path:
    """Make a folder look like a group in which something has happened."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("memory_max", "memory_swap_max", "memory_oom_group", "cpu_max", "pids_max"):
        (folder / name.replace("_", ".", 1).replace("swap_", "swap.").replace("oom_", "oom.")).write_text("max")
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return folder


def world(tmp_path: Path, own: str = "/system.slice/platform.service/platform") -> tuple[Path, Path]:
    """Return a cgroup tree and a /proc in which this process is in the group `own`."""
    root, proc = plant(tmp_path / "cgroup"), tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text(f"0::{own}\n")
    plant(root / "system.slice/platform.service")
    return root, proc


def test_a_group_that_systemd_has_delegated_is_found_and_hands_its_controllers_down(tmp_path: Path) -> None:
    root, proc = world(tmp_path)
    service = root / "system.slice/platform.service"
    found = find_delegation("auto", root=root, proc=proc, is_marked=lambda folder: folder == service)
    assert found.folder == service
    assert (service / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"


@pytest.mark.parametrize(
    ("own", "is_marked", "why"),
    [
        ("/system.slice/platform.service/platform", False, "is not marked so"),
        ("/", True, "this process is in the topmost one"),
    ],
)
def test_what_nobody_delegated_is_left_alone(tmp_path: Path, own: str, is_marked: bool, why: str) -> None:
    root, proc = world(tmp_path, own)
    found = find_delegation("auto", root=root, proc=proc, is_marked=lambda _: is_marked)
    assert found.folder is None
    assert why in found.why
    assert (root / "system.slice/platform.service/cgroup.subtree_control").read_text() == ""


def test_a_group_that_is_named_must_be_one_and_have_memory(tmp_path: Path) -> None:
    assert find_delegation(str(plant(tmp_path / "a"))).folder == tmp_path / "a"
    assert "is no cgroup of version 2" in find_delegation(str(tmp_path / "none-such")).why
    assert "no controller 'memory'" in find_delegation(str(plant(tmp_path / "b", controllers="pids"))).why
    assert "TRAINING_CGROUP=none" in find_delegation("none").why
    assert "is no cgroup of version 2" in find_delegation("auto", root=tmp_path / "v1").why


def test_limits_are_written_before_the_process_joins(tmp_path: Path) -> None:
    group = plant_run(tmp_path / "run-1-1")
    make_group(group, GroupLimits(memory_bytes=3 * MIB, cores=1.5, processes=77))
    written = {path.name: path.read_text() for path in group.iterdir()}
    assert written == {
        "memory.max": str(3 * MIB), "memory.swap.max": "0", "memory.oom.group": "1", "cpu.max": "150000 100000",
        "pids.max": "77", "cgroup.procs": str(os.getpid()),
    }  # fmt: skip


def test_a_grant_of_all_cores_sets_no_share_of_them(tmp_path: Path) -> None:
    grant = Grant(cores=2, memory_bytes=5, memory_limit_bytes=0)
    assert json.loads(encode_limits(tmp_path, grant, all_cores=2.0))["cores"] == 0
    assert json.loads(encode_limits(tmp_path, grant, all_cores=4.0))["cores"] == 2


def test_a_trainer_whose_group_is_refused_is_watched_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = encode_limits(tmp_path / "file" / "run-1-1", Grant(cores=1, memory_bytes=5), all_cores=2.0)
    held = _in_a_process(told)
    assert held["by"] == WATCHED
    assert "could not be made" in held["why_not"]
    assert held["core"] == [0, 0]
    assert _in_a_process("") == {"by": WATCHED, "why_not": "", "core": [0, 0]}


def test_what_became_of_a_group_is_read_from_its_events(tmp_path: Path) -> None:
    assert read_end(tmp_path / "none") is None
    group = plant_run(tmp_path / "run", memory_max="100", memory_events="max 9\noom 1\noom_kill 2\n")
    assert read_end(group) == GroupEnd(oom_kills=2, peak_bytes=100, limit_bytes=100), "before 5.19 there is no peak"
    plant_run(group, memory_max="100", memory_peak="98")
    assert read_end(group) == GroupEnd(oom_kills=2, peak_bytes=98, limit_bytes=100)


def test_only_old_groups_without_processes_are_removed_as_abandoned(tmp_path: Path, monkeypatch: Any) -> None:
    removed: list[str] = []
    for name, populated in (("run-a", 0), ("run-b", 1), ("other", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")
    monkeypatch.setattr(Path, "rmdir", lambda path: removed.append(path.name))
    assert cgroups.remove_abandoned(tmp_path, now_s=time.time()) == 0
    assert cgroups.remove_abandoned(tmp_path, now_s=time.time() + 3600) == 1
    assert removed == ["run-a"]


def _order(memory_bytes: int, **parameters: Any) -> Run:
    resources = ResourceOrder(memory_bytes=memory_bytes)
    return create_run(
        RunOrder(
            recipe=RECIPE, data_uri="digits", model_name="sleepy", parameters={"epochs": 1, **parameters},
            resources=resources,
        )
    )  # fmt: skip


def test_a_run_is_held_by_its_group_and_says_so(bench: Bench) -> None:
    folder = plant(bench.folder / "delegated")
    bench.limit(TRAINING_CGROUP=str(folder))
    run = _order(900 * MIB)
    group = plant_run(group_of(folder, run.pk, 1))
    doorbell.answer(str(run.pk))
    run = bench.until_ended(run)
    assert run.state == RunState.SUCCEEDED, bench.log(run)
    assert (group / "memory.max").read_text() == str(900 * MIB)
    assert (group / "cgroup.procs").read_text().isdigit()
    assert ResourceLease.objects.get(run=run).limits == CGROUP
    assert "900 MiB of memory, its limit (held by a cgroup)" in lease_text(run)
    assert LocalLauncher().measure_capacity().limits == f"cgroup {folder}"


def test_a_run_that_the_kernel_kills_at_its_limit_says_peak_limit_and_what_to_lower(bench: Bench) -> None:
    folder = plant(bench.folder / "delegated")
    bench.limit(TRAINING_CGROUP=str(folder))
    run = _order(600 * MIB, fault="kill", batch_size=64)
    plant_run(group_of(folder, run.pk, 1), memory_events="oom_kill 1\n", memory_peak=str(600 * MIB))
    doorbell.answer(str(run.pk))
    run = bench.until_ended(run)
    assert (run.state, run.exit_class, run.attempt) == (RunState.FAILED, ExitClass.OUT_OF_MEMORY, 1), bench.log(run)
    assert "at its peak the run held 600 MiB of 600 MiB" in run.exit_message
    assert "a smaller batch_size (now 64)" in run.exit_message
    assert "at its own limit" in run.exit_message


def test_a_run_that_is_killed_for_what_others_held_does_not_blame_its_limit(bench: Bench) -> None:
    folder = plant(bench.folder / "delegated")
    bench.limit(TRAINING_CGROUP=str(folder))
    run = _order(600 * MIB, fault="kill")
    plant_run(group_of(folder, run.pk, 1), memory_events="oom_kill 1\n", memory_peak=str(100 * MIB))
    doorbell.answer(str(run.pk))
    run = bench.until(run, lambda r: r.attempt == 2 or r.is_ended)
    assert "own limit" not in run.exit_message


def test_where_nothing_is_delegated_a_run_is_watched_and_the_machine_says_why(bench: Bench) -> None:
    bench.limit(TRAINING_CGROUP="none")
    run = _order(900 * MIB)
    doorbell.answer(str(run.pk))
    run = bench.until_ended(run)
    assert ResourceLease.objects.get(run=run).limits == WATCHED
    assert "its limit (watched)" in lease_text(run)
    assert LocalLauncher().measure_capacity().limits == "watched: TRAINING_CGROUP=none"
    supervision.supervise()


def test_a_group_that_cannot_be_used_is_a_warning(settings: Any, tmp_path: Path) -> None:
    settings.TRAINING_LAUNCHER = "local"
    settings.TRAINING_CGROUP = str(tmp_path / "none-such")
    [warning] = check_cgroup(None)
    assert warning.id == "training.W002"
    settings.TRAINING_CGROUP = "auto"
    assert check_cgroup(None) == []


@pytest.fixture
def real_group() -> Iterator[Path]:
    """Give the place of a group in a real tree of version 2 that this user may write."""
    root = next((one for one in V2 if (one / "cgroup.controllers").exists()), None)
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("needs a cgroup tree of version 2 that this user may write")
    parent = root / f"aiplatform-test-{secrets.token_hex(4)}"
    try:
        parent.mkdir()
    except OSError as error:
        pytest.skip(f"the kernel gives no group: {error}")
    try:
        yield parent / "run-1-1"
    finally:
        remove_group(parent / "run-1-1")
        parent.rmdir()


@pytest.mark.machine
def test_a_real_group_holds_what_is_started_in_it_and_goes_with_all_of_it(real_group: Path) -> None:
    child = _start_in(real_group, GroupLimits(), "import subprocess; subprocess.Popen(['sleep', '600'])")
    members = [int(pid) for pid in (real_group / "cgroup.procs").read_text().split()]
    assert child.pid in members
    assert len(members) == 2
    assert remove_group(real_group)
    assert child.wait(10) != 0
    assert not real_group.exists()


@pytest.mark.machine
def test_a_real_group_kills_what_takes_more_memory_than_its_limit(real_group: Path) -> None:
    found = find_delegation(str(real_group.parent))
    if found.folder is None:
        pytest.skip(f"no limit of memory can be set here: {found.why}")
    child = _start_in(real_group, GroupLimits(memory_bytes=200 * MIB), "held = bytearray(b'x' * 2**30)")
    assert child.wait(60) == -9
    end = read_end(real_group)
    assert end is not None
    assert end.oom_kills >= 1


_ENTER = """
import sys, time
from pathlib import Path
from training.launchers.cgroups import GroupLimits, make_group
make_group(Path(sys.argv[1]), GroupLimits(memory_bytes=int(sys.argv[2])))
exec(sys.argv[3])
print("in", flush=True)
time.sleep(600)
"""


def _start_in(group: Path, limits: GroupLimits, code: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _ENTER, str(group), str(limits.memory_bytes), code],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    with contextlib.closing(child.stdout):
        child.stdout.readline()
    return child


_TRY = """
import json, resource, sys
from training.launchers.limits import put_in_force
held = put_in_force(sys.argv[1])
core = resource.getrlimit(resource.RLIMIT_CORE)
print(json.dumps({"by": held.by, "why_not": held.why_not, "core": core}))
"""


def _in_a_process(told: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", _TRY, told], capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
