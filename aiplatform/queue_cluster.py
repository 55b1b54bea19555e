"""The queue's processes, tied together: if one is killed all end, and whoever runs the queue starts it anew.

django-q2's leader, sentinel, workers, pusher and monitor talk through queues whose locks lie in shared memory. A
process that is killed while it holds one, as an idle worker always does, leaves the lock to nobody: those who come
after it wait for ever, and doorbells are taken and never answered. And a process whose parent is killed goes on alone,
beside the queue that is started in its parent's place.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

import structlog
from django_q import cluster

from aiplatform.priority import step_back_as_session
from aiplatform.queue_presence import announce_queue
from aiplatform.supervisor import PR_SET_PDEATHSIG

log = structlog.get_logger(__name__)

BROKEN_EXIT_CODE = 70
NICE = 10  # doorbells; what is behind them takes seconds


class TiedSentinel(cluster.Sentinel):  # type: ignore[misc]
    """A sentinel that does not replace a member that was killed, but ends, and with it all others."""

    def start(self) -> None:
        """Begin to look after the members."""
        signal.signal(signal.SIGCHLD, self._look_at_the_dead)
        super().start()

    def _look_at_the_dead(self, *_: object) -> None:
        """End if a member was killed by a signal.

        A worker that the sentinel itself ends, because its task took too long, is no longer a member by then.
        """
        members = [*self.pool, self.monitor, self.pusher]
        killed = [one for one in members if one is not None and _was_killed(one)]
        if killed:
            log.error("queue_member_killed", pids=[one.pid for one in killed])
            os._exit(BROKEN_EXIT_CODE)  # the kernel ends the others


def tie_processes() -> None:
    """Have every process that this one and its children fork be killed when its parent ends; programs are not forks."""
    parent = [os.getpid()]
    libc = ctypes.CDLL(None, use_errno=True)

    def note_parent() -> None:
        parent[0] = os.getpid()

    def tie() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent[0]:  # it ended before the kernel was told
            os._exit(BROKEN_EXIT_CODE)

    os.register_at_fork(before=note_parent, after_in_child=tie)


def run_cluster() -> None:
    """Start the queue's processes, tied; the interpreter's exit waits for their end.

    They step back behind those that answer requests; trainers, which they start in sessions of their own, do not.
    """
    step_back_as_session(NICE)
    tie_processes()
    cluster.Sentinel = TiedSentinel
    started = cluster.Cluster()
    started.announcement = announce_queue()  # held for as long as this process lives
    started.start()


def _was_killed(process: Any) -> bool:
    """Say whether a signal ended it; a process that is just being started has no exit code to tell."""
    return process.pid is not None and not process.is_alive() and process.exitcode < 0
