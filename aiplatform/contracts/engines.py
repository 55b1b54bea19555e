"""What the inference service tells of a version's engines: which were proven equal, and how fast each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class CompileVersion:
    """Convert a version for each engine, prove and time them, in the background.

    `force` does so though it was done before. `is_automatic`: only if COMPILE_ENGINES says so.
    """

    model: str
    version: int
    artifact_uri: str
    artifact_digest: str
    force: bool = False
    is_automatic: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineTime:
    """The time of an engine call with so many rows (the median of its best turn), and the throughput of one caller."""

    rows: int
    ms: float
    rows_per_s: float


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """How one engine did: `state` is 'equal', 'unequal', 'failed' or 'skipped', with the reason.

    `max_error` is the largest difference from the trainer's outputs. `times` are those with the best
    number of `threads`.
    """

    engine: str
    state: str
    is_native: bool
    is_chosen: bool
    reason: str = ""
    max_error: float | None = None
    size_bytes: int = 0
    threads: int = 0
    times: tuple[EngineTime, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EngineReport:
    """What one kind of machine found; `facts` says what that is."""

    machine: str
    created_at: str
    tolerance: str
    engines: tuple[EngineRow, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""  # why the pack cannot be used


@dataclass(frozen=True, kw_only=True)
class EngineReports:
    """The engines of a version, by kind of machine; `machine` is that of the process that answers.

    `state` of that machine: 'ready', 'compiling', 'missing', 'failed' (with `detail`) or 'off'.
    """

    artifact_digest: str
    machine: str
    state: str
    detail: str = ""
    reports: tuple[EngineReport, ...] = ()
