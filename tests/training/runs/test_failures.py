"""The one line that says why a run failed."""

from __future__ import annotations

import errno
import resource
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from aiplatform.errors import InvalidInputError
from tests.training.recipes.reporters import RememberingReporter
from training.data.dataset import Part
from training.failures import Moment, explain_end, explain_error, telling_line
from training.heartbeat import Heartbeat, StopFlag
from training.launchers.base import ProcessEnd
from training.learning import learn
from training.recipes.api import TrainingFailedError, TrainingOrder
from training.recipes.reading import read_rows
from training.states import ExitClass
from training.usage import Usage, UsageMeter, memory_limit_bytes, peak_gpu_bytes
from training.usage_series import MOST_POINTS, UsageSeries

GIB = 2**30
LEARNING = Moment(
    phase="learning", epoch=2, step=7, parameters={"batch_size": 128, "pieces": 1, "precision": "float32"},
    memory_bytes=15 * GIB, peak_bytes=15 * GIB, limit_bytes=16 * GIB,
)  # fmt: skip


def test_out_of_memory_names_the_peak_the_place_and_what_to_lower() -> None:
    exit_class, line = explain_error(MemoryError("Unable to allocate 9.9 TiB"), LEARNING)
    assert exit_class == ExitClass.OUT_OF_MEMORY
    assert line == (
        "out of memory at epoch 2, after step 7: at its peak the run held 15.0 GiB of 16.0 GiB; a smaller batch_size "
        "(now 128), or more pieces (now 1), or precision=bfloat16 needs less (MemoryError: Unable to allocate 9.9 TiB)"
    )


def test_out_of_memory_while_reading_does_not_blame_the_batch() -> None:
    _, line = explain_error(MemoryError(), Moment(phase="preparing", parameters={"batch_size": 8}, peak_bytes=GIB))
    assert "batch_size" not in line
    assert "fewer rows" in line


def test_a_kill_by_the_kernel_says_what_was_last_measured() -> None:
    exit_class, line = explain_end(ProcessEnd(exit_code=-9, is_out_of_memory=True), LEARNING, is_starting=False)
    assert exit_class == ExitClass.OUT_OF_MEMORY
    assert "15.0 GiB of 16.0 GiB" in line
    assert "batch_size (now 128)" in line
    assert "the system killed" in line


@pytest.mark.parametrize(
    ("code", "words"),
    [(-signal.SIGKILL, "memory was nearly full"), (-signal.SIGSEGV, "SIGSEGV); compiled code"), (None, "nobody saw")],
)
def test_a_process_that_is_gone_is_lost_with_a_hint(code: int | None, words: str) -> None:
    exit_class, line = explain_end(ProcessEnd(exit_code=code, is_out_of_memory=False), LEARNING, is_starting=False)
    assert exit_class == ExitClass.LOST
    assert words in line


def _missing() -> ModuleNotFoundError:
    return ModuleNotFoundError("No module named 'xgboost.sklearn'", name="xgboost.sklearn")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("3 columns\nnot 4"), "ValueError: 3 columns at epoch 2, after step 7"),
        (InvalidInputError("row 5 of 'a.csv' is short"), "row 5 of 'a.csv' is short"),
        (KeyError(), "KeyError at epoch 2, after step 7"),
        (
            _missing(),
            "module 'xgboost.sklearn' is not installed where the run trains; "
            "install the package that has 'xgboost' there",
        ),
        (
            OSError(errno.ENOSPC, "No space left", "/data/x"),
            "the disk is full at /data/x; make room, then resume the run: it goes on from its checkpoint",
        ),
    ],
)  # fmt: skip
def test_an_error_is_one_line_with_its_place(error: Exception, line: str) -> None:
    assert explain_error(error, LEARNING) == (ExitClass.FAILED, line)


def test_a_frameworks_headings_are_passed_over() -> None:
    text = "Graph execution error:\n\nDetected at node dense/MatMul\n<stack traces unavailable>\nMatrix sizes differ"
    assert telling_line(text) == "Matrix sizes differ"
    assert telling_line("Graph execution error:") == "Graph execution error:"


class _Broken(Part):
    def rows(self, indices: Any) -> Any:
        if 3 in np.asarray(indices):
            raise OSError("image 3 is cut")
        return super().rows(indices)


def test_the_row_that_cannot_be_read_is_named() -> None:
    part = _Broken(inputs={"x": np.zeros((5, 1), np.float32)}, labels=np.zeros(5, np.int64))
    with pytest.raises(TrainingFailedError, match="training row 3 cannot be read at epoch 1, step 2: OSError: image 3"):
        read_rows(part, np.array([4, 3, 1]), epoch=1, step=2)


def test_a_loss_that_is_no_number_names_epoch_and_step(tmp_path: Path) -> None:
    order = TrainingOrder(
        recipe="tests.training.numpy_recipe:Shares", parameters={"diverge_at": 3, "batch_size": 512},
        data_uri="digits", target=None, seed=0, work_dir=tmp_path,
    )  # fmt: skip
    with pytest.raises(TrainingFailedError, match=r"nan at epoch 1, step 3; .*clip_norm"):
        learn(order, RememberingReporter())


def test_a_meter_sees_its_own_session() -> None:
    meter = UsageMeter()
    meter.measure()
    sum(range(400_000))
    used = meter.measure()
    assert used.memory_bytes > 2**20
    assert used.cpu_cores >= 0
    limit = memory_limit_bytes()
    assert limit is not None
    assert limit > used.memory_bytes


def write_process(proc: Path, pid: int, *, session: int, pages: int) -> None:
    """Write a process's line as the kernel has it."""
    (proc / str(pid)).mkdir(exist_ok=True)
    fields = ["0"] * 40
    fields[3], fields[21] = str(session), str(pages)
    (proc / str(pid) / "stat").write_text(f"{pid} (a (name) of it) {' '.join(fields)}")


def test_a_meter_reads_its_own_processes_each_time_and_strangers_once(tmp_path: Path) -> None:
    page = resource.getpagesize()
    write_process(tmp_path, 10, session=10, pages=5)
    write_process(tmp_path, 11, session=10, pages=1)
    write_process(tmp_path, 20, session=20, pages=100)
    (tmp_path / "meminfo").write_text("no process")
    meter = UsageMeter(proc=tmp_path, session=10)
    assert meter.measure().memory_bytes == 6 * page
    (tmp_path / "20" / "stat").write_text("what nobody reads again")
    write_process(tmp_path, 10, session=10, pages=7)
    assert meter.measure().memory_bytes == 8 * page


def test_a_number_that_a_stranger_had_may_be_one_of_ours_later(tmp_path: Path) -> None:
    write_process(tmp_path, 20, session=20, pages=100)
    meter = UsageMeter(proc=tmp_path, session=10)
    assert meter.measure().memory_bytes == 0
    shutil.rmtree(tmp_path / "20")
    meter.measure()
    write_process(tmp_path, 20, session=10, pages=3)
    assert meter.measure().memory_bytes == 3 * resource.getpagesize()


def test_a_framework_that_is_being_imported_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    assert peak_gpu_bytes() is None


def test_what_goes_wrong_in_measuring_does_not_end_the_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    heart = Heartbeat(uuid4(), 1, StopFlag())

    def fail() -> None:
        raise AttributeError("partially initialized")

    monkeypatch.setattr(heart._usage, "beat", fail)
    heart._measure()


def test_a_containers_limit_goes_before_the_machines(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       16 kB\n")
    (tmp_path / "memory.max").write_text("4096\n")
    assert memory_limit_bytes(proc=tmp_path, cgroup=tmp_path) == 4096
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_limit_bytes(proc=tmp_path, cgroup=tmp_path) == 16 * 1024


def test_a_long_series_stays_bounded_and_covers_all_of_the_time() -> None:
    series = UsageSeries()
    for second in range(10_000):
        series.add(float(second), Usage(cpu_cores=1.0, memory_bytes=second))
    assert MOST_POINTS / 2 <= len(series.points) <= MOST_POINTS
    assert series.points[0][0] == 0
    assert float(series.points[-1][0] or 0) > 9_900
