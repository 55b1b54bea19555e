"""A version that does not fit is refused before it is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aiplatform.artifacts import FileEntry
from aiplatform.errors import UnavailableError
from inference.memory import available_bytes, check_memory, model_bytes
from tests.inference.serving_fakes import make_manifest

BIG = replace(
    make_manifest(),
    files={
        "model/a": FileEntry(sha256="", size_bytes=60),
        "model/b/c": FileEntry(sha256="", size_bytes=40),
        "warmup/inputs.npz": FileEntry(sha256="", size_bytes=5000),
    },
)


def test_only_the_models_files_count() -> None:
    assert model_bytes(BIG) == 100


def test_a_version_is_refused_if_it_would_eat_the_reserve() -> None:
    check_memory(BIG, reserve_bytes=50, available=250)
    check_memory(BIG, reserve_bytes=50, available=None)
    with pytest.raises(UnavailableError, match=r"needs about 200 bytes to load and 249 are free.*MEMORY_RESERVE_BYTES"):
        check_memory(BIG, reserve_bytes=50, available=249)


def test_the_smaller_of_machine_and_container_is_what_there_is(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:    50 kB\n")
    cgroup = tmp_path / "cgroup"
    assert available_bytes(meminfo=meminfo, cgroup=cgroup) == 50 * 1024
    cgroup.mkdir()
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory.current").write_text("10\n")
    (cgroup / "memory.stat").write_text("anon 7\ninactive_file 4\n")
    assert available_bytes(meminfo=meminfo, cgroup=cgroup) == 50 * 1024
    (cgroup / "memory.max").write_text("1000\n")
    assert available_bytes(meminfo=meminfo, cgroup=cgroup) == 994
    assert available_bytes(meminfo=tmp_path / "none", cgroup=tmp_path / "none") is None


def test_this_machine_says_something_sensible() -> None:
    available = available_bytes()
    assert available is None or available > 10 * 1024 * 1024
