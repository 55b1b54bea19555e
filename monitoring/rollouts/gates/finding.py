"""What a look at a gate found, in a form that pages, APIs and the database share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitoring.rollouts.vocabulary import Verdict


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A verdict, the sentence that says why, and the numbers."""

    verdict: Verdict
    text: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def percent(share: float | None) -> str:
    """Return a share for people."""
    return "none" if share is None else f"{share:.1%}"


def missing(have: int, need: int, what: str) -> str:
    """Return what is not enough, and how many more it takes."""
    return f"{have} of {need} {what}: {need - have} more"
