"""One version on its way through this replica, and the state it reports."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

from aiplatform.contracts.inference import ReplicaState
from aiplatform.contracts.training import ModelVersionInfo
from inference.desired import DesiredEndpoint
from inference.loaded import LoadedVersion

FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 60.0


class SlotKey(NamedTuple):
    """What makes two loaded versions different things."""

    endpoint: str
    model: str
    version: int
    digest: str
    engine: str = ""  # pinned

    @classmethod
    def of(cls, endpoint: DesiredEndpoint, info: ModelVersionInfo) -> SlotKey:
        """Return the key of a version for an endpoint."""
        return cls(endpoint.name, info.model, info.version, info.artifact_digest, endpoint.engine)


@dataclass
class Slot:
    """A version that is wanted or was; `task` is the load or the drain that is under way.

    `look` asks for a better engine, `reload` loads the version again with it, beside the one that serves.
    """

    info: ModelVersionInfo
    state: ReplicaState = ReplicaState.LOADING
    message: str = ""
    loaded: LoadedVersion | None = None
    task: Future[LoadedVersion] | Future[None] | None = None
    attempts: int = 0
    retry_at: float = field(default=0.0)  # monotonic seconds
    look: Future[bool] | None = None
    look_at: float = field(default=0.0)
    reload: Future[LoadedVersion] | None = None

    @property
    def is_ready(self) -> bool:
        """Say whether it can answer."""
        return self.state is ReplicaState.READY

    def succeed(self, loaded: LoadedVersion) -> None:
        """Take over what was loaded."""
        self.loaded, self.state, self.message, self.attempts = loaded, ReplicaState.READY, "", 0

    def wait(self, error: BaseException) -> None:
        """Say what it waits for, and try again soon: that is no failure."""
        self.state, self.message = ReplicaState.LOADING, _text(error)
        self.retry_at = time.monotonic() + FIRST_RETRY_S / 2

    def fail(self, error: BaseException) -> None:
        """Say why it did not load, and try again later, each time after a longer wait."""
        self.attempts += 1
        wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** (self.attempts - 1))
        self.retry_at = time.monotonic() + wait_s
        self.state = ReplicaState.FAILED
        self.message = f"{_text(error)} (attempt {self.attempts})"


def _text(error: BaseException) -> str:
    message = str(error) or type(error).__name__
    return message if len(message) <= 1000 else f"{message[:1000]}..."
