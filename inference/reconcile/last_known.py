"""What this replica last knew: from the database while it answers, from its own file when it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import structlog

from aiplatform.errors import PlatformError
from inference.desired import DesiredEndpoint, ReplicaMemory, load_memory, save_memory

log = structlog.get_logger(__name__)


class DesiredSource(Protocol):
    """Where desired state comes from; a PlatformError means: away."""

    def read_desired(self) -> Mapping[str, DesiredEndpoint]: ...


class LastKnown:
    """`desired` is None until anything is known; `away` says why the source does not answer."""

    def __init__(self, source: DesiredSource, file: Path) -> None:
        self._source = source
        self._file = file
        self.desired: dict[str, DesiredEndpoint] | None = None
        self.applied: dict[str, DesiredEndpoint] = {}
        self.away = ""

    def refresh(self) -> None:
        """Read the desired state, or fall back on what was known before."""
        try:
            desired = dict(self._source.read_desired())
        except PlatformError as error:
            self._note_away(error.message)
            return
        if self.away:
            log.info("control_plane_back")
            self.away = ""
        if self.desired is None:
            memory = load_memory(self._file)
            self.applied = dict(memory.applied) if memory else {}
        if desired != self.desired:
            self.desired = desired
            self._save()

    def mark_applied(self, endpoint: DesiredEndpoint) -> None:
        """Remember what is served now, to serve it again after a restart if what is wanted does not load."""
        self.applied[endpoint.name] = endpoint
        self._save()

    def forget_others(self, names: set[str]) -> set[str]:
        """Forget what was served under any other name; return those names."""
        gone = self.applied.keys() - names
        for name in gone:
            del self.applied[name]
        return gone

    def _note_away(self, message: str) -> None:
        if not self.away:
            log.warning("control_plane_away", error=message, consequence="the last known state is served")
        self.away = message
        memory = load_memory(self._file) if self.desired is None else None
        if memory is not None:
            self.desired, self.applied = dict(memory.desired), dict(memory.applied)
            log.warning("serving_from_memory", endpoints=sorted(self.desired))

    def _save(self) -> None:
        try:
            save_memory(self._file, ReplicaMemory(desired=self.desired or {}, applied=self.applied))
        except OSError as error:
            log.warning("replica_memory_not_saved", path=str(self._file), error=str(error))
