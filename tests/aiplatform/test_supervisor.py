"""The supervisor keeps its children running and ends all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aiplatform.supervisor import Child, Supervisor


def wait_until(is_true: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Poll until a fact holds; fail when the time is over."""
    deadline_s = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline_s, "the fact did not come true in time"
        time.sleep(0.02)


def start(supervisor: Supervisor) -> tuple[threading.Thread, list[int]]:
    """Run a supervisor in a thread; its result is appended to the list."""
    killed: list[int] = []
    thread = threading.Thread(target=lambda: killed.append(supervisor.run()))
    thread.start()
    return thread, killed


def sleeper(*, deaf: bool = False, note: Path | None = None) -> list[str]:
    """Return a command that sleeps, optionally deaf to SIGTERM; `note` exists once it is set up."""
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if deaf else ""
    touch = f"open({str(note)!r}, 'w').close();" if note else ""
    return [sys.executable, "-c", f"import signal, time; {ignore} {touch} time.sleep(60)"]


def is_alive(pid: int) -> bool:
    """Say whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_child_is_started_again() -> None:
    child = Child("sleeper", sleeper())
    supervisor = Supervisor(children=[child], grace_s=5)
    thread, _ = start(supervisor)
    wait_until(child.is_running)
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: child.process is not None and child.process.pid != first)
    supervisor.request_stop()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_all_children_are_gone_after_a_stop_and_none_was_killed() -> None:
    children = [Child("a", sleeper()), Child("b", sleeper())]
    supervisor = Supervisor(children=children, grace_s=5)
    thread, killed = start(supervisor)
    wait_until(lambda: all(child.is_running() for child in children))
    pids = [child.process.pid for child in children if child.process]
    supervisor.request_stop()
    thread.join(timeout=10)
    assert killed == [0]
    assert not any(is_alive(pid) for pid in pids)


def test_a_child_deaf_to_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    note = tmp_path / "set-up"
    child = Child("deaf", sleeper(deaf=True, note=note))
    supervisor = Supervisor(children=[child], grace_s=0.5)
    thread, killed = start(supervisor)
    wait_until(note.exists)
    assert child.process is not None
    pid = child.process.pid
    supervisor.request_stop()
    thread.join(timeout=10)
    assert killed == [1]
    wait_until(lambda: not is_alive(pid))


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    inner = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    program = (
        "import sys; from aiplatform.supervisor import Child, Supervisor; "
        f"Supervisor(children=[Child('c', [sys.executable, '-c', {inner!r}])], grace_s=1).run()"
    )
    outer = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    wait_until(lambda: note.exists() and note.read_text() != "")
    pid = int(note.read_text())
    outer.kill()
    outer.wait(timeout=10)
    wait_until(lambda: not is_alive(pid))
