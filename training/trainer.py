"""The process that trains: `python -m training.trainer RUN FENCE`, started by a launcher (or ready before: ready.py).

Django is loaded first, so that the lease beats before the learning framework, which may take many
seconds, is imported. SIGTERM asks for a stop at the next step; the run then goes back to the queue.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING
from uuid import UUID

import django

from training.launchers.base import CPUS_VARIABLE
from training.launchers.limits import LIMITS_VARIABLE, put_in_force
from training.ready import READY, wait_for_order

if TYPE_CHECKING:
    from training.parallel.nodes import Seat


def main(arguments: list[str]) -> int:
    """Do one attempt; return the exit code."""
    if arguments[:1] == [READY]:
        told = wait_for_order(arguments[1])
        if told is None:
            return 0
        arguments = told
    run_id, fence = UUID(arguments[0]), int(arguments[1])
    held = put_in_force(os.environ.pop(LIMITS_VARIABLE, ""))  # first: what is taken from here on counts
    _bind_to_cores(os.environ.get(CPUS_VARIABLE, ""))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiplatform.settings")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow: warnings, not what processor it found
    django.setup()

    import structlog

    from training.launchers.base import LOG_VARIABLE
    from training.parallel.nodes import this_seat

    seat = this_seat()
    if seat is not None and seat.rank:
        return _take_part(run_id, fence, seat)
    if os.environ.get(LOG_VARIABLE):
        _write_into_log(run_id)
    _tell_people_only()

    from training.attempt import Attempt
    from training.heartbeat import StopFlag
    from training.leases import Claim
    from training.processes import prefer_for_oom_kill

    flag = StopFlag()
    signal.signal(signal.SIGTERM, lambda *_: flag.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever wants it ended cancels the run
    prefer_for_oom_kill()
    structlog.contextvars.bind_contextvars(run=str(run_id), fence=fence)
    return Attempt(Claim(run_id=run_id, fence=fence, attempt=0), flag, held).run()


def _bind_to_cores(numbers: str) -> None:
    """Bind this process to its cores before anything starts threads, which inherit it; cores that went stay unbound."""
    if numbers:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {int(number) for number in numbers.split(",")})


def _take_part(run_id: UUID, fence: int, seat: Seat) -> int:
    """Do the work of a process that does not lead; what it writes is its pod's log, for the run's is the leader's."""
    import structlog

    from training.node_member import NodeMember
    from training.processes import prefer_for_oom_kill

    prefer_for_oom_kill()
    structlog.contextvars.bind_contextvars(run=str(run_id), fence=fence, rank=seat.rank)
    return NodeMember(run_id, fence, seat).run()


def _write_into_log(run_id: UUID) -> None:
    """Have all output of this process in the run's log, too where no launcher could do it: on another machine."""
    from training.run_files import log_file, run_folder

    folder = run_folder(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    with log_file(folder).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


def _tell_people_only() -> None:
    """Keep the events of programs out of the run's log, but for warnings; who asks for DEBUG gets all.

    What people want to know is said in sentences.
    """
    import logging

    root = logging.getLogger()
    if root.level == logging.INFO:
        root.setLevel(logging.WARNING)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a framework's threads must not hold up a process whose work is done
