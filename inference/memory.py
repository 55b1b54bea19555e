"""Admission by memory: a version that would not fit is refused with a reason, before it takes the process down.

What a model takes is only known once it is there; its files are a fair guess: the weights are held once, and
loading holds them twice for a moment.
"""

from __future__ import annotations

from pathlib import Path

from aiplatform.artifacts import Manifest
from aiplatform.errors import UnavailableError

LOADING_FACTOR = 2.0
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def model_bytes(manifest: Manifest) -> int:
    """Return the size of a version's model files."""
    return sum(entry.size_bytes for name, entry in manifest.files.items() if name.startswith("model/"))


def available_bytes(*, meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Return the memory that may still be taken: the machine's, or the container's if that is less; None if unknown."""
    found = [amount for amount in (_machine_bytes(meminfo), _container_bytes(cgroup)) if amount is not None]
    return min(found, default=None)


def check_memory(manifest: Manifest, *, reserve_bytes: int, available: int | None) -> None:
    """Raise UnavailableError if loading a version would leave less than the reserve."""
    if available is None:
        return
    needed = int(model_bytes(manifest) * LOADING_FACTOR)
    if needed + reserve_bytes <= available:
        return
    raise UnavailableError(
        f"{manifest.name} version {manifest.version} needs about {needed} bytes to load and {available} are free, of which "
        f"{reserve_bytes} are kept (MEMORY_RESERVE_BYTES)",
        limit="memory",
        value=available,
        setting="MEMORY_RESERVE_BYTES",
    )


def _machine_bytes(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return kilobytes[0] * 1024 if kilobytes else None


def _container_bytes(cgroup: Path) -> int | None:
    """Return what the container's limit leaves; the page cache, which the kernel can take back, counts as free."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        cached = [
            line.split()[1]
            for line in (cgroup / "memory.stat").read_text().splitlines()
            if line[:14] == "inactive_file "
        ]
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return max(0, int(limit) - used + sum(map(int, cached)))
