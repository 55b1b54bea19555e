"""The process of its own: what becomes of it never becomes of the command."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aiplatform.errors import ConflictError, InvalidInputError, UnavailableError
from training.children import ChildLimits, answer, run_child

LIMITS = ChildLimits(timeout_s=60, memory_mib=4096)
MODULE = "tests.training.importing.test_children"


def work(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Do what the order's `what` says."""
    what = order["what"]
    if what == "crash":
        print("about to fall", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang":
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)
    if what == "eat":
        return {"eaten": len(bytearray(8 * 2**30))}
    if what == "refuse":
        raise ConflictError("it is so", why="because")
    if what == "lie":
        (folder / "result.json").write_bytes(b'{"a": "not a number"}')
        os._exit(0)
    return {"a": order["a"] + 1, "secrets": [name for name in os.environ if "SECRET" in name or "DATABASE" in name]}


def run(folder: Path, what: str, limits: ChildLimits = LIMITS, **more: Any) -> dict[str, Any]:
    """Have a child do it."""
    return run_child(MODULE, {"what": what, **more}, dict[str, Any], folder=folder, limits=limits)


def test_a_result_comes_back_and_no_secret_goes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "s")
    monkeypatch.setenv("DATABASE_URL", "d")
    assert run(tmp_path, "add", a=1) == {"a": 2, "secrets": []}


def test_a_crash_is_a_broken_file_with_the_childs_last_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"ended with SIGSEGV; the file is broken\. about to fall"):
        run(tmp_path, "crash")


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"ended after 3 s \(MODEL_WORK_TIMEOUT_S\)"):
        run(tmp_path, "hang", ChildLimits(timeout_s=3, memory_mib=0))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_child_that_eats_memory_is_stopped_by_its_limit(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"512 MiB \(MODEL_WORK_MEMORY_MB\)"):
        run(tmp_path, "eat", ChildLimits(timeout_s=60, memory_mib=512))


def test_an_error_keeps_its_class_and_its_details(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="it is so") as refusal:
        run(tmp_path, "refuse")
    assert refusal.value.details == {"why": "because"}


def test_an_answer_that_is_not_as_agreed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="answer that cannot be read"):
        run_child(MODULE, {"what": "lie"}, dict[str, int], folder=tmp_path, limits=LIMITS)


if __name__ == "__main__":
    answer(sys.argv[1:], dict[str, Any], work)
