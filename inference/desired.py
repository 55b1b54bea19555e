"""The desired state as a replica needs it, and the file that lets it start without a database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from aiplatform.contracts.inference import TrafficShare
from aiplatform.contracts.training import ModelVersionInfo

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class DesiredEndpoint:
    """One endpoint: its split, and all that is needed to load its versions."""

    name: str
    model: str
    generation: int
    traffic: tuple[TrafficShare, ...]
    versions: tuple[ModelVersionInfo, ...]
    engine: str = ""  # pinned; empty: as the setting ENGINE says
    shadow: int | None = None
    off_reason: str = ""  # not empty: switched off


@dataclass(frozen=True, kw_only=True)
class ReplicaMemory:
    """What a replica keeps on disk.

    `desired` is the last state read from the database; `applied` is what it last served of each
    endpoint, to serve again if the desired versions do not load.
    """

    desired: Mapping[str, DesiredEndpoint] = field(default_factory=dict)
    applied: Mapping[str, DesiredEndpoint] = field(default_factory=dict)


def save_memory(path: Path, memory: ReplicaMemory) -> None:
    """Write the file in one step; a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(memory))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def load_memory(path: Path) -> ReplicaMemory | None:
    """Return what the last process kept; None if there is nothing usable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ReplicaMemory)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("replica_memory_unreadable", path=str(path), error=str(error))
        return None
