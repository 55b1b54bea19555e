"""Brings a version from the artifact store into memory, checked, and out again."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Protocol

import structlog

from aiplatform.artifacts import fetch_artifact
from aiplatform.contracts.training import ModelVersionInfo
from inference.choice import EngineNotCompiledError, EngineWish
from inference.compiling.supply import CompilingError, EngineSupply
from inference.loaded import LoadedVersion

log = structlog.get_logger(__name__)

DRAIN_TIMEOUT_S = 30.0


class LoadFromFolder(Protocol):
    """`load_version` with this process's limits and metrics already given."""

    def __call__(self, *, endpoint: str, info: ModelVersionInfo, folder: Path, wish: EngineWish) -> LoadedVersion: ...


class Load(Protocol):
    """Brings a version into memory; `engine` is the one that its endpoint pins, or empty."""

    def __call__(self, endpoint: str, info: ModelVersionInfo, engine: str = "") -> LoadedVersion: ...


def make_loader(*, cache: Path, load: LoadFromFolder, supply: EngineSupply | None = None) -> Load:
    """Return what fetches, verifies, loads, warms up and checks a version.

    Without a `supply` of engine packs, every version runs on its own engine.

    The long-lived objects of a model are taken out of the garbage collector's sight, or each full
    collection would walk through them in the middle of requests.
    """

    def fetch_and_load(endpoint: str, info: ModelVersionInfo, engine: str = "") -> LoadedVersion:
        log.info("version_loading", endpoint=endpoint, model=info.model, version=info.version)
        folder = fetch_artifact(info.artifact_uri, cache=cache, digest=info.artifact_digest)
        wish = supply.wish_for(info, engine) if supply else EngineWish(engine=engine or EngineWish().engine)
        try:
            loaded = load(endpoint=endpoint, info=info, folder=folder, wish=wish)
        except EngineNotCompiledError as error:
            if supply is None or not supply.request(info):
                raise
            raise CompilingError(f"{error.message}; it is being compiled") from error
        _freeze()
        log.info(
            "version_loaded", endpoint=endpoint, model=info.model, version=info.version, engine=loaded.running.name
        )
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
