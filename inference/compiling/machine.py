"""Which kind of machine this is, as far as a compiled model cares.

Timings and machine code hold for one processor, number of cores and set of runtime versions: any
other is another kind and gets packs of its own.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from inference.engines.base import available_cores

_CPUINFO = Path("/proc/cpuinfo")
_INSTRUCTIONS = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_tile", "asimd", "sve")
_RUNTIMES = ("tensorflow", "torch", "onnxruntime", "ai-edge-litert", "tf2onnx", "onnxscript", "keras", "numpy")


@functools.cache
def machine_facts() -> Mapping[str, str]:
    """Return what makes this kind of machine: processor, instructions, cores, runtimes."""
    info = _cpu_info()
    flags = set((info.get("flags") or info.get("features") or "").split())
    return {
        "architecture": platform.machine(),
        "processor": info.get("model name", ""),
        "instructions": " ".join(name for name in _INSTRUCTIONS if name in flags),
        "cores": str(available_cores()),
        "device": "cpu",
        **{name: found for name in _RUNTIMES if (found := _version(name))},
    }


@functools.cache
def machine_kind() -> str:
    """Return a short name: architecture, cores, and a digest of all the facts."""
    facts = machine_facts()
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{facts['architecture']}-{facts['cores']}core-{digest[:8]}"


def _cpu_info() -> dict[str, str]:
    try:
        first = _CPUINFO.read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
