"""A worker is set up when it is forked."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: a worker changes what is the process's.
FORKED = """
import sys
from types import SimpleNamespace
from aiplatform import gunicorn_conf
before = sys.getswitchinterval()
kept = {}
worker = SimpleNamespace(age=1, grpc_place=None, handle_exit_signal=None, cfg=SimpleNamespace(set=kept.__setitem__))
gunicorn_conf.post_fork(None, worker)
print(before, sys.getswitchinterval(), sorted(kept))
"""


def test_a_thread_keeps_the_interpreter_from_the_event_loop_for_half_a_millisecond_at_most() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["0.005", "0.0005"]
