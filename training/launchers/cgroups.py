"""A cgroup (version 2) for each trainer, where one is delegated to the platform: the kernel then keeps its limits.

    <delegated>/                    no process of its own, `memory`, `cpu` and `pids` handed down
        run-<run>-<fence>/          a trainer and all that it starts: memory.max, cpu.max, pids.max

The platform takes nothing that was not given to it: a folder counts as delegated if TRAINING_CGROUP names it, or if it
is the parent of this process's own group and marked so by systemd (Delegate=yes with DelegateSubgroup=).
Sources: Linux, Documentation/admin-guide/cgroup-v2.rst; systemd, docs/CGROUP_DELEGATION.md.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT, PROC = Path("/sys/fs/cgroup"), Path("/proc")
AUTO, NONE = "auto", "none"
NEEDED, WANTED = "memory", ("memory", "cpu", "pids")
PREFIX = "run-"
_PERIOD_US = 100_000
_LEAVING_S = 2.0  # until killed processes have left a group
_ABANDONED_S = 600.0  # an empty group so old is nobody's: its trainer joins within the start of its process
_MARKS = ("user.delegate", "trusted.delegate")


@dataclass(frozen=True, kw_only=True)
class Delegation:
    """Where groups can be made; None: `why` not."""

    folder: Path | None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class GroupLimits:
    """What a group is held to; 0: not at all."""

    memory_bytes: int = 0
    cores: float = 0.0
    processes: int = 0


@dataclass(frozen=True, kw_only=True)
class GroupEnd:
    """What became of a group: how often the kernel has killed in it for memory, and the most that it held."""

    oom_kills: int
    peak_bytes: int
    limit_bytes: int


def has_mark(folder: Path) -> bool:
    """Say whether systemd has marked a group as delegated."""
    for mark in _MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return True
    return False


def find_delegation(
    wanted: str, *, root: Path = ROOT, proc: Path = PROC, is_marked: Callable[[Path], bool] = has_mark
) -> Delegation:
    """Return the group in which trainers get theirs; `wanted` is `auto`, `none`, or its path."""
    if wanted == NONE:
        return Delegation(folder=None, why="TRAINING_CGROUP=none")
    if wanted != AUTO:
        return _usable(Path(wanted))
    if not (root / "cgroup.controllers").exists():
        return Delegation(folder=None, why=f"{root} is no cgroup of version 2")
    own = _own_group(proc)
    if own in ("", "/"):
        return Delegation(folder=None, why="no group is delegated to the platform (this process is in the topmost one)")
    parent = root / Path(own).parent.relative_to("/")
    if not is_marked(parent):
        return Delegation(folder=None, why=f"no group is delegated to the platform ({parent} is not marked so)")
    return _usable(parent)


def make_group(folder: Path, limits: GroupLimits) -> None:
    """Make a group and hold this process to it, with all that it starts from now on.

    Raises: OSError if the kernel refuses; then the group is gone again.
    """
    folder.mkdir(exist_ok=True)
    try:
        _limit(folder, limits)
        (folder / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


def read_end(folder: Path) -> GroupEnd | None:
    """Return what became of a group; None if it is not there, or has no limit of memory."""
    limit = _number(folder / "memory.max")
    if limit is None:
        return None
    events = _fields(folder / "memory.events")
    kills = max(events.get("oom_kill", 0), events.get("oom_group_kill", 0))
    peak = _number(folder / "memory.peak") or (limit if kills else 0)
    return GroupEnd(oom_kills=kills, peak_bytes=peak, limit_bytes=limit)


def remove_group(folder: Path, *, waits_s: float = _LEAVING_S) -> bool:
    """End whatever is left in a group and remove it; say whether it is gone."""
    deadline_s = time.monotonic() + waits_s
    while folder.exists():
        with contextlib.suppress(OSError):
            (folder / "cgroup.kill").write_text("1")  # there since Linux 5.14; before, what is left is left
        with contextlib.suppress(OSError):
            folder.rmdir()
            break
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def remove_abandoned(folder: Path, *, now_s: float) -> int:
    """Remove groups without processes whose launcher did not live to do it; return how many."""
    removed = 0
    for group in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            is_old = now_s - group.stat().st_mtime > _ABANDONED_S
            if is_old and _fields(group / "cgroup.events").get("populated") == 0:
                group.rmdir()
                removed += 1
    return removed


def _usable(folder: Path) -> Delegation:
    """Hand the controllers down in a group, if that was not done already."""
    try:
        there = set((folder / "cgroup.controllers").read_text().split())
        handed = set((folder / "cgroup.subtree_control").read_text().split())
    except OSError as error:
        return Delegation(folder=None, why=f"{folder} is no cgroup of version 2 ({error.strerror})")
    if NEEDED not in there:
        return Delegation(folder=None, why=f"{folder} has no controller '{NEEDED}' (cgroup.controllers)")
    missing = [name for name in WANTED if name in there - handed]
    try:
        if missing:
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in missing))
    except OSError as error:
        return Delegation(folder=None, why=f"{folder}: its controllers cannot be handed down ({error.strerror})")
    if not os.access(folder, os.W_OK | os.X_OK) or not os.access(folder / "cgroup.procs", os.W_OK):
        return Delegation(folder=None, why=f"{folder} cannot be written by this user")
    return Delegation(folder=folder)


def _own_group(proc: Path) -> str:
    with contextlib.suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return line.removeprefix("0::")
    return ""


def _limit(folder: Path, limits: GroupLimits) -> None:
    if limits.memory_bytes:
        (folder / "memory.max").write_text(str(limits.memory_bytes))
        _write_if_there(folder / "memory.swap.max", "0")  # what is swapped out is held as well
        _write_if_there(folder / "memory.oom.group", "1")  # the trainer goes with what it has started
    if limits.cores:
        _write_if_there(folder / "cpu.max", f"{max(1000, round(limits.cores * _PERIOD_US))} {_PERIOD_US}")
    if limits.processes:
        _write_if_there(folder / "pids.max", str(limits.processes))


def _write_if_there(path: Path, text: str) -> None:
    if path.exists():
        path.write_text(text)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _fields(path: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
    except (OSError, ValueError):
        return {}
