"""What a replica asks of the packs: what there is for a version, and whether there is better now."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import structlog

from aiplatform.contracts.engines import CompileVersion
from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.errors import ArtifactError, PlatformError, UnavailableError
from inference.choice import NATIVE, EngineWish, choose_engine
from inference.compiling.machine import machine_kind
from inference.compiling.packs import PackPlace, PackStore
from inference.compiling.steps import possible_engines
from inference.engines import EngineKind, EngineOptions
from inference.loaded import LoadedVersion

log = structlog.get_logger(__name__)


class Compiler(Protocol):
    """Starts compilations and knows how they went."""

    def start(self, order: CompileVersion) -> None: ...
    def is_busy_with(self, digest: str) -> bool: ...
    def failure(self, digest: str) -> str: ...


class CompilingError(UnavailableError):
    """A version waits for its pinned engine, which is being compiled."""


class EngineSupply:
    """Packs and a compiler behind two questions. `default` is the wish of endpoints that pin nothing."""

    def __init__(
        self, *, packs: PackStore, compiler: Compiler | None, default: str, options: EngineOptions, machine: str = ""
    ) -> None:
        """`compiler` None: nothing is compiled from here, packs that others made are used."""
        self._packs = packs
        self._compiler = compiler
        self._default = default
        self._options = options
        self._machine = machine or machine_kind()
        self._requested: set[str] = set()

    @property
    def look_interval_s(self) -> float:
        """Return how long to wait between two looks for a better engine."""
        return 60.0 if self._packs.is_remote else 5.0

    def wish_for(self, info: ModelVersionInfo, pinned: str) -> EngineWish:
        """Return what is wanted for a version and what there is; never raises."""
        engine = pinned or self._default
        if engine == NATIVE or not _is_compilable(info):
            return EngineWish(engine=engine)
        try:
            place = self._packs.find(info.artifact_digest, self._machine)
        except PlatformError as error:
            return EngineWish(engine=engine, note=f"engine packs cannot be listed: {error.message}")
        if place is None:
            return EngineWish(engine=engine, note=self._why_none(info))
        return self._fetch(info, engine, place)

    def request(self, info: ModelVersionInfo) -> bool:
        """Have a version compiled, once; say whether it is under way."""
        digest = info.artifact_digest
        if self._compiler is None or not _is_compilable(info) or self._compiler.failure(digest):
            return False
        if digest in self._requested:
            return self._compiler.is_busy_with(digest) or self._has_pack(digest)  # it may have ended just now
        self._requested.add(digest)
        self._compiler.start(compile_order(info))
        return True

    def has_better(self, info: ModelVersionInfo, pinned: str, loaded: LoadedVersion) -> bool:
        """Say whether to load a version again, for the engine that a new pack says; ask for a pack if there is none.

        What the pack says in favour of the running engine is noted on `loaded`.
        """
        wish = self.wish_for(info, pinned)
        if wish.engine == NATIVE or not _is_compilable(info):
            return False
        if not wish.pack_uri:
            self.request(info)
            loaded.running = replace(loaded.running, note=wish.note)
            return False
        if wish.pack_uri == loaded.running.pack:
            return False
        try:
            choice = choose_engine(loaded.manifest, wish, allowed_threads=self._options.thread_count)
        except PlatformError as error:
            log.warning("engine_not_chosen", model=info.model, version=info.version, error=error.message)
            return False
        wants_threads = 0 if self._options.threads else choice.threads  # an operator's number stays
        if choice.name != loaded.running.name or wants_threads not in (0, loaded.running.threads):
            return True
        loaded.running = replace(loaded.running, pack=wish.pack_uri, note=wish.note)
        return False

    def _fetch(self, info: ModelVersionInfo, engine: str, place: PackPlace) -> EngineWish:
        try:
            pack = self._packs.fetch(place, digest=info.artifact_digest)
        except ArtifactError as error:
            note = f"the engine pack is not usable: {error.message}"
            log.warning("engine_pack_not_usable", model=info.model, version=info.version, error=error.message)
            return EngineWish(engine=engine, pack_uri=place.uri, note=note)
        return EngineWish(engine=engine, pack=pack, pack_uri=place.uri)

    def _has_pack(self, digest: str) -> bool:
        try:
            return self._packs.find(digest, self._machine) is not None
        except PlatformError:
            return False

    def _why_none(self, info: ModelVersionInfo) -> str:
        failure = self._compiler.failure(info.artifact_digest) if self._compiler else ""
        if failure:
            return f"{info.model} version {info.version} could not be compiled: {failure}"
        return ""


def compile_order(info: ModelVersionInfo, *, force: bool = False) -> CompileVersion:
    """Return the order to compile a version."""
    return CompileVersion(
        model=info.model,
        version=info.version,
        artifact_uri=info.artifact_uri,
        artifact_digest=info.artifact_digest,
        force=force,
    )


def _is_compilable(info: ModelVersionInfo) -> bool:
    return bool(set(possible_engines(info.framework)) - {EngineKind.REMOTE})
