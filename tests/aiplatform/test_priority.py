"""A process that steps back gets less of a core than one that does not, whatever sessions they are in."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from aiplatform.priority import step_back

PROJECT = Path(__file__).resolve().parents[2]
GROUPED = Path("/proc/sys/kernel/sched_autogroup_enabled")
# Computes beside others on one core, from one moment to another, and says how much of the core it had.
COMPUTE = textwrap.dedent("""
    import os, sys, time
    from aiplatform.priority import step_back
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    step_back(int(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    began, until = time.process_time(), time.monotonic() + 1.0
    while time.monotonic() < until:
        pass
    print(time.process_time() - began)
""")
SAY = "import os; print(os.getpriority(os.PRIO_PROCESS, 0), open('/proc/self/autogroup').read().split()[-1])"

needs_sessions = pytest.mark.skipif(
    not GROUPED.exists() or GROUPED.read_text().strip() != "1", reason="this kernel does not group processes by session"
)


def _computing(nice: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", COMPUTE, str(nice)], cwd=PROJECT, start_new_session=True, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def _seconds_of_a_core(*nices: int) -> list[float]:
    processes = [_computing(nice) for nice in nices]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [float(process.communicate(timeout=60)[0]) for process in processes]


def test_beside_a_process_of_another_session_it_gets_a_small_part_of_a_core() -> None:
    back, other = _seconds_of_a_core(19, 0)
    assert back < other / 4


@needs_sessions
def test_a_session_may_step_back_while_what_it_starts_does_not() -> None:
    code = f"""
import subprocess, sys
from aiplatform.priority import step_back_as_session
step_back_as_session(7)
for is_new in (False, True):
    print(subprocess.check_output([sys.executable, "-c", {SAY!r}], start_new_session=is_new, text=True))
"""
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, start_new_session=True, capture_output=True, text=True, check=True
    ).stdout
    mine = str(os.getpriority(os.PRIO_PROCESS, 0))
    assert said.split() == [mine, "7", mine, "0"]


@needs_sessions
def test_who_does_not_lead_a_session_leaves_it_alone() -> None:
    code = f"from aiplatform.priority import step_back; step_back(3); exec({SAY!r})"
    leader = f"import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {code!r}], text=True))"
    said = subprocess.run(
        [sys.executable, "-c", leader], cwd=PROJECT, start_new_session=True, capture_output=True, text=True, check=True
    ).stdout
    assert said.split() == [str(min(19, os.getpriority(os.PRIO_PROCESS, 0) + 3)), "0"]


@pytest.mark.parametrize("nice", [-1, 20])
def test_a_nice_value_that_there_is_not_is_refused(nice: int) -> None:
    with pytest.raises(ValueError, match=f"0 to 19, not {nice}"):
        step_back(nice)
