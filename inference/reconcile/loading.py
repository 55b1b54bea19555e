"""Brings a version from the artifact store into memory, checked, and out again."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from aiplatform.artifacts import fetch_artifact
from aiplatform.contracts.training import ModelVersionInfo
from inference.loaded import LoadedVersion

log = structlog.get_logger(__name__)

DRAIN_TIMEOUT_S = 30.0


class LoadFromFolder(Protocol):
    """`load_version` with this process's limits and metrics already given."""

    def __call__(self, *, endpoint: str, info: ModelVersionInfo, folder: Path) -> LoadedVersion: ...


Load = Callable[[str, ModelVersionInfo], LoadedVersion]


def make_loader(*, cache: Path, load: LoadFromFolder) -> Load:
    """Return what fetches, verifies, loads, warms up and checks a version.

    The long-lived objects of a model are taken out of the garbage collector's sight, or each full
    collection would walk through them in the middle of requests.
    """

    def fetch_and_load(endpoint: str, info: ModelVersionInfo) -> LoadedVersion:
        log.info("version_loading", endpoint=endpoint, model=info.model, version=info.version)
        folder = fetch_artifact(info.artifact_uri, cache=cache, digest=info.artifact_digest)
        loaded = load(endpoint=endpoint, info=info, folder=folder)
        _freeze()
        log.info("version_loaded", endpoint=endpoint, model=info.model, version=info.version)
        return loaded

    return fetch_and_load


def drain_and_drop(loaded: LoadedVersion) -> None:
    """Wait for the requests that use a version, then give its memory back."""
    if not loaded.drain(DRAIN_TIMEOUT_S):
        log.warning("version_not_drained", endpoint=loaded.endpoint, version=loaded.version, after_s=DRAIN_TIMEOUT_S)
    loaded.close()
    gc.unfreeze()
    _freeze()
    log.info("version_dropped", endpoint=loaded.endpoint, version=loaded.version)


def _freeze() -> None:
    gc.collect()
    gc.freeze()
