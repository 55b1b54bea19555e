"""What this process may keep of predictions: asked of monitoring at intervals, remembered on disk.

While monitoring is away the last known policies hold. Until any are known nothing is kept: what a
policy would have redacted must not reach the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import structlog

from aiplatform.contracts.monitoring import StorePolicies, StorePolicy
from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.http.codec import JSON_TYPE, decode_message, encode_message

log = structlog.get_logger(__name__)


class PolicyBook:
    """The policies of this process; `step` refreshes them, `of` looks one up from any thread."""

    def __init__(self, *, ask: Callable[[], StorePolicies], memory: Path) -> None:
        self._ask = ask
        self._memory = memory
        self._policies = _remembered(memory)
        self._is_away = False

    def step(self) -> None:
        """Ask monitoring; keep what is known if it is away."""
        try:
            policies = self._ask()
        except PlatformError as error:
            if not self._is_away:
                log.warning("store_policies_not_refreshed", error=error.message, known=self._policies is not None)
            self._is_away = True
            return
        self._is_away = False
        if policies != self._policies:
            self._policies = policies
            self._remember(policies)

    def of(self, endpoint: str) -> StorePolicy | None:
        """Return an endpoint's policy; None while none is known."""
        return self._policies.of(endpoint) if self._policies is not None else None

    def _remember(self, policies: StorePolicies) -> None:
        draft = self._memory.with_name(f"{self._memory.name}.{os.getpid()}.draft")
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(encode_message(policies))
            draft.replace(self._memory)
        except OSError as error:
            log.warning("store_policies_not_remembered", error=str(error))


def _remembered(path: Path) -> StorePolicies | None:
    try:
        return decode_message(path.read_bytes(), StorePolicies, content_type=JSON_TYPE)
    except FileNotFoundError:
        return None
    except (OSError, InvalidInputError) as error:
        log.warning("store_policies_not_read", path=str(path), error=str(error))
        return None
