"""What the exit codes of `manage.py train` mean; docs/training.md repeats them for people."""

from __future__ import annotations

from training.models import Run
from training.states import DeployState, ExitClass, RunState, SearchState

SUCCEEDED = 0
FAILED = 1
USAGE = 2
CANCELLED = 3
GIVEN_UP = 4  # lost, stalled or over its time
OUT_OF_MEMORY = 5
NOT_DEPLOYED = 6  # trained and registered, but inference has not taken the deployment yet
INTERRUPTED = 130  # Ctrl-C: the run goes on without this command

_BY_CLASS = {
    ExitClass.CANCELLED: CANCELLED,
    ExitClass.OUT_OF_MEMORY: OUT_OF_MEMORY,
    ExitClass.LOST: GIVEN_UP,
    ExitClass.STALLED: GIVEN_UP,
    ExitClass.TIMED_OUT: GIVEN_UP,
}

BY_SEARCH_STATE = {
    SearchState.RUNNING: SUCCEEDED,
    SearchState.SUCCEEDED: SUCCEEDED,
    SearchState.FAILED: FAILED,
    SearchState.CANCELLED: CANCELLED,
}


def exit_code_of(run: Run) -> int:
    """Return the exit code for a run that has ended."""
    if run.state == RunState.SUCCEEDED:  # a trial too
        return NOT_DEPLOYED if run.deploy_state == DeployState.PENDING else SUCCEEDED
    return _BY_CLASS.get(ExitClass(run.exit_class), FAILED)
