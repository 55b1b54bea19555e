"""What automation and its keepers did, for the audit log: written where the log is, else told in the process's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from aiplatform.wiring import wiring

log = structlog.get_logger(__name__)


def write_audit(*, actor: str, action: str, object: str, evidence: Mapping[str, Any]) -> None:
    """Write down who did what, and what was known. In a process without the audit log it goes to the log."""
    log.info("audit", actor=actor, action=action, object=object, evidence=dict(evidence))
    if wiring.record_audit is not None:
        wiring.record_audit(actor=actor, action=action, object=object, after=dict(evidence))


def is_audited() -> bool:
    """Say whether this process has the audit log; if not, the log's lines are all that is kept of an order."""
    return wiring.record_audit is not None
