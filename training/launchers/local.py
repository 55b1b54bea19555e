"""Trains in a process of its own on this machine, in a session of its own.

It is a fresh interpreter, never a fork: the parent may hold TensorFlow, or be the queue's worker,
which would take its children with it. A thread waits for the child, so that no zombie stays and
its exit code is kept in a file beside the log.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

from django.conf import settings

from aiplatform.roles import INFERENCE, TRAINING
from training import processes, ready
from training.environment import inherited_environment
from training.launchers.base import CPUS_VARIABLE, MEMORY_EXIT_CODE, Handle, LaunchOrder, Liveness, ProcessEnd
from training.launchers.cgroups import Delegation, GroupEnd, find_delegation, read_end, remove_abandoned, remove_group
from training.launchers.limits import LIMITS_VARIABLE, encode_limits, group_of
from training.parallel.place import THREADS
from training.resources.amounts import Capacity, Grant
from training.resources.capacity import measure_capacity, this_gpus
from training.run_files import exit_file, group_file, log_file

_REAPER_S = 0.3
LONGEST_SAID = 200
_AT_ITS_LIMIT = 0.95  # who was killed with less was killed for what others held


class LocalLauncher:
    """Starts trainers on this machine."""

    ends_with_platform = True

    @property
    def place(self) -> str:
        """Return this machine's name, or this container's."""
        return processes.this_host()

    def measure_capacity(self) -> Capacity:
        """Return the cores, memory and devices of this machine that trainings may hold."""
        delegation = this_delegation()
        said = f"cgroup {delegation.folder}" if delegation.folder else f"watched: {delegation.why}"
        return replace(measure_capacity(gpus=this_gpus()), limits=said[:LONGEST_SAID])

    def launch(self, order: LaunchOrder) -> Handle:
        """Start a trainer; its output goes to the run's log."""
        order.folder.mkdir(parents=True, exist_ok=True)
        group, told = self._group(order)
        process = _start(order, trainer_environment(order.grant) | told)
        handle = Handle(
            host=processes.this_host(), pid=process.pid, started=processes.start_time(process.pid) or "ended"
        )
        files = exit_file(order.folder, order.fence), group_file(order.folder, order.fence)
        threading.Thread(target=_reap, args=(process, *files, group), name=f"reap-{process.pid}", daemon=True).start()
        return handle

    def _group(self, order: LaunchOrder) -> tuple[Path | None, dict[str, str]]:
        """Return the cgroup of an attempt, and what its trainer is told of it; none where none is delegated."""
        folder = this_delegation().folder
        if folder is None or order.grant is None:
            return None, {}
        remove_abandoned(folder, now_s=time.time())
        group = group_of(folder, order.run_id, order.fence)
        all_cores = float(len(os.sched_getaffinity(0)))
        return group, {LIMITS_VARIABLE: encode_limits(group, order.grant, all_cores=all_cores)}

    def check(self, handle: Handle) -> Liveness:
        """Say whether a trainer lives; of another machine's nothing is known."""
        if handle.host != processes.this_host():
            return Liveness.UNKNOWN
        return Liveness.ALIVE if processes.is_alive(handle.pid, handle.started) else Liveness.DEAD

    def describe_wait(self, handle: Handle) -> str:
        """Return nothing: a process here runs at once."""
        return ""

    def stop(self, handle: Handle, *, force: bool) -> None:
        """SIGTERM to the trainer, or SIGKILL to it and its children."""
        if handle.host == processes.this_host():
            number = signal.SIGKILL if force else signal.SIGTERM
            processes.signal_session(handle.pid, handle.started, number, leader_only=not force)

    def describe_end(self, order: LaunchOrder, *, oom_kills_before: int | None) -> ProcessEnd:
        """Return the exit code if the process that started the trainer lived to see it; so with its cgroup's end."""
        exit_code = _read_exit_code(exit_file(order.folder, order.fence))
        group = self._group_end(order)
        if group is not None and group.oom_kills and group.peak_bytes >= _AT_ITS_LIMIT * group.limit_bytes:
            return ProcessEnd(
                exit_code=exit_code, is_out_of_memory=True, peak_bytes=group.peak_bytes, limit_bytes=group.limit_bytes
            )
        kills = self.count_oom_kills()
        has_more_kills = oom_kills_before is not None and kills is not None and kills > oom_kills_before
        was_killed = has_more_kills and exit_code in (None, -signal.SIGKILL)
        return ProcessEnd(exit_code=exit_code, is_out_of_memory=was_killed or exit_code == MEMORY_EXIT_CODE)

    def _group_end(self, order: LaunchOrder) -> GroupEnd | None:
        """Return what became of an attempt's cgroup: as it was noted, else as it is; and leave none behind."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return GroupEnd(**json.loads(group_file(order.folder, order.fence).read_text()))
        folder = this_delegation().folder
        if folder is None:
            return None
        group = group_of(folder, order.run_id, order.fence)
        end = read_end(group)
        remove_group(group)
        return end

    def count_oom_kills(self) -> int | None:
        """Return how often the kernel has killed for memory."""
        return processes.count_oom_kills()


def _start(order: LaunchOrder, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Return a trainer that was told its run: the one that is ready for it, or a new one."""
    arguments, log_path = [str(order.run_id), str(order.fence)], log_file(order.folder)
    waiting = ready.take(order.run_id)
    if waiting is not None and waiting.tell(arguments, environment, log_path):
        return waiting.process
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "training.trainer", *arguments],
            cwd=settings.BASE_DIR, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def trainer_environment(grant: Grant | None = None) -> dict[str, str]:
    """Return what a trainer inherits from this process, what it gets by default, what it is, and what binds it.

    It trains, and orders the deployment: of an inference service that is not elsewhere it needs the part that takes
    orders. The other apps and the console would more than double the time until it begins.
    """
    is_inference_here = INFERENCE in settings.ROLES and not settings.SERVICE_URLS.get(INFERENCE)
    roles = [TRAINING, INFERENCE] if is_inference_here else [TRAINING]
    bounds = _bounds(grant) if grant else {}
    return {**inherited_environment(), "AIPLATFORM_ROLES": ",".join(roles), **bounds}


def _bounds(grant: Grant) -> dict[str, str]:
    """Return the cores to bind to, as many threads, and the devices to see: none but its own.

    A grant of the whole machine sets no number of threads: then whoever set one keeps his.
    """
    bounds: dict[str, str] = {}
    if grant.threads < len(os.sched_getaffinity(0)):
        bounds |= dict.fromkeys(THREADS, str(grant.threads))
    if grant.cpus:
        bounds[CPUS_VARIABLE] = ",".join(map(str, grant.cpus))
    if grant.gpu_uuids is not None or settings.TRAINING_GPUS != ["all"]:
        bounds["CUDA_VISIBLE_DEVICES"] = ",".join(grant.gpu_uuids or ())
    return bounds


@functools.cache
def _delegation_of(wanted: str) -> Delegation:
    return find_delegation(wanted)


def this_delegation() -> Delegation:
    """Return the cgroup in which trainers of this place get theirs, looked for once a process."""
    return _delegation_of(settings.TRAINING_CGROUP)


def _reap(process: subprocess.Popen[bytes], file: Path, end_file: Path, group: Path | None) -> None:
    code = process.wait()
    with contextlib.suppress(OSError):
        end = read_end(group) if group else None
        if end is not None:
            end_file.write_text(json.dumps(asdict(end)))
        file.write_text(str(code))  # last: whoever finds it finds the other
    if group is not None:
        remove_group(group)


def _read_exit_code(file: Path) -> int | None:
    deadline_s = time.monotonic() + _REAPER_S  # the reaper learns of the end at the same moment as we do
    while True:
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            if time.monotonic() > deadline_s:
                return None
        time.sleep(0.02)
