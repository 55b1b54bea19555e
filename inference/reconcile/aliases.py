"""The registry's aliases as names of served versions (`/labels/champion`), kept fresh in passing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future

import structlog

log = structlog.get_logger(__name__)

REFRESH_INTERVAL_S = 10.0

ReadAliases = Callable[[str], dict[str, int]]  # model -> version by alias


class AliasBook:
    """Remembers aliases; while the registry is away, the last known ones stay."""

    def __init__(self, read: ReadAliases, executor: Executor) -> None:
        self._read = read
        self._executor = executor
        self._by_model: dict[str, dict[str, int]] = {}
        self._task: Future[None] | None = None
        self._next_refresh = 0.0
        self._models: frozenset[str] = frozenset()
        self._is_away = False

    def of(self, model: str) -> dict[str, int]:
        """Return the version of each alias of a model."""
        return self._by_model.get(model, {})

    def refresh_when_due(self, models: Iterable[str]) -> None:
        """Ask again in the background, now and then and whenever there is a new model."""
        wanted = frozenset(models)
        is_due = time.monotonic() >= self._next_refresh or not wanted <= self._models
        if not wanted or not is_due or (self._task is not None and not self._task.done()):
            return
        self._next_refresh = time.monotonic() + REFRESH_INTERVAL_S
        self._models = wanted
        self._task = self._executor.submit(self._refresh, wanted)

    def _refresh(self, models: Iterable[str]) -> None:
        for model in models:
            try:
                self._by_model[model] = self._read(model)
                self._is_away = False
            except Exception as error:  # noqa: BLE001 - an alias is a convenience; traffic never depends on it
                if not self._is_away:
                    log.warning("aliases_not_read", model=model, error=str(error))
                self._is_away = True
