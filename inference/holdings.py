"""Tells training's ledger what this serving process holds, so that no training is given the same memory or device.

It only tells: serving asks nobody before it loads, so it has the right of way, and a ledger that cannot be reached
costs nothing here. What was told expires by itself if this process is killed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

import structlog

from aiplatform.contracts.training import Holding, ReportHoldings
from aiplatform.errors import PlatformError
from aiplatform.gpus import Gpus, open_gpus
from aiplatform.machine import resident_bytes, this_host, this_machine
from inference.loaded import LoadedVersion

log = structlog.get_logger(__name__)

INTERVAL_S = 5.0
EXPIRES_S = 60.0

Tell = Callable[[ReportHoldings], object]


class HoldingsReporter:
    """Reports at each step; `list_loaded` gives the versions that are in memory now."""

    def __init__(
        self,
        *,
        replica: str,
        list_loaded: Callable[[], Iterable[LoadedVersion]],
        tell: Tell,
        measure: Callable[[], tuple[int, int]] = resident_bytes,
        open_devices: Callable[[], Gpus | None] = open_gpus,
    ) -> None:
        self._replica, self._list_loaded, self._tell = replica, list_loaded, tell
        self._measure, self._open_devices = measure, open_devices
        self._gpus: Gpus | None = None
        self._has_looked_for_gpus = False
        self._is_away = False

    def step(self) -> None:
        """Report what is held now; a ledger that is away is tried again with the next step."""
        self._send(self._holdings())

    def stop(self, timeout_s: float) -> None:
        """Say that nothing is held any more; a ledger that does not answer in time learns it when this expires."""
        goodbye = threading.Thread(target=self._send, args=((),), name="holdings-end", daemon=True)
        goodbye.start()
        goodbye.join(timeout_s)

    def _holdings(self) -> tuple[Holding, ...]:
        held_bytes, peak_bytes = self._measure()
        versions = [_holding_of(loaded) for loaded in self._list_loaded()]
        named = {(one.endpoint, one.version): one for one in versions}  # an engine that is being replaced: once
        rest = max(0, held_bytes - sum(one.memory_bytes for one in named.values()))
        return (*named.values(), Holding(memory_bytes=rest, memory_peak_bytes=peak_bytes, gpus=self._held_of_gpus()))

    def _held_of_gpus(self) -> dict[str, int]:
        """Return what this process holds of each device: a driver counts by process, not by model."""
        if not self._has_looked_for_gpus:
            self._gpus, self._has_looked_for_gpus = self._open_devices(), True
        return self._gpus.held_by({os.getpid()}) if self._gpus else {}

    def _send(self, holdings: tuple[Holding, ...]) -> None:
        report = ReportHoldings(
            replica=self._replica,
            machine=this_machine(),
            host=this_host(),
            expires_s=EXPIRES_S,
            holdings=holdings,
        )
        try:
            self._tell(report)
            self._is_away = False
        except PlatformError as error:
            if not self._is_away:
                log.warning("holdings_not_reported", error=error.message)
            self._is_away = True


def _holding_of(loaded: LoadedVersion) -> Holding:
    return Holding(
        endpoint=loaded.endpoint,
        model=loaded.info.model,
        version=loaded.version,
        memory_bytes=loaded.memory_bytes,
        memory_peak_bytes=loaded.memory_bytes,
    )
