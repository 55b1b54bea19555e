"""Which engine shall run a version: the proven fastest, the artifact's own, or the one pinned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError, InvalidConfigurationError
from inference.compiling.packs import EnginePack
from inference.compiling.table import Candidate, CandidateState
from inference.engines import EngineKind, native_kind

AUTO = "auto"  # the fastest that is equal
NATIVE = "native"  # the artifact's own
WISHES = (AUTO, NATIVE, *EngineKind)


@dataclass(frozen=True, kw_only=True)
class EngineWish:
    """What is wanted, and what there is. `pack` None: nothing is compiled, and `note` may say why."""

    engine: str = AUTO
    pack: EnginePack | None = None
    pack_uri: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """What to open. `files` None: the engine reads the artifact's own files; `threads` 0: as allowed."""

    name: str
    is_native: bool
    is_pinned: bool = False
    files: Path | None = None
    threads: int = 0
    call_ms: Mapping[int, float] = field(default_factory=dict)
    pack: str = ""
    note: str = ""


class EngineNotCompiledError(InvalidConfigurationError):
    """A pinned engine needs an engine pack, and there is none (yet)."""


def choose_engine(manifest: Manifest, wish: EngineWish, *, allowed_threads: int) -> EngineChoice:
    """Return the engine to open.

    Raises: EngineNotCompiledError if a pinned engine waits for a pack; InvalidConfigurationError if
    it is not to be had for this version.
    """
    native = _native_name(manifest)
    pinned = wish.engine not in (AUTO, NATIVE)
    if wish.engine == NATIVE or wish.engine == native:
        return _chosen(native, native, wish, allowed_threads, pinned)
    if not pinned:
        best = wish.pack.table.fastest(allowed_threads) if wish.pack else None
        return _chosen(best.engine if best else native, native, wish, allowed_threads, pinned)
    _require_proven(manifest, wish)
    return _chosen(wish.engine, native, wish, allowed_threads, pinned)


def fall_back(manifest: Manifest, choice: EngineChoice, why: str) -> EngineChoice:
    """Return the artifact's own engine in place of one that cannot be used, and say so."""
    native = _native_name(manifest)
    return replace(
        choice,
        name=native,
        is_native=True,
        files=None,
        threads=0,
        call_ms={},
        note=f"{choice.name} is not usable: {why}",
    )


def _require_proven(manifest: Manifest, wish: EngineWish) -> None:
    who = f"{manifest.name} version {manifest.version}"
    if wish.pack is None and wish.pack_uri:
        raise InvalidConfigurationError(f"engine '{wish.engine}' is pinned, but {wish.note}")
    if wish.pack is None:
        raise EngineNotCompiledError(f"engine '{wish.engine}' is pinned, but {wish.note or f'{who} is not compiled'}")
    row = wish.pack.table.find(wish.engine)
    if row is None:
        tried = ", ".join(candidate.engine for candidate in wish.pack.table.candidates)
        raise InvalidConfigurationError(f"engine '{wish.engine}' is pinned, but it does not run {who}; tried: {tried}")
    if row.state is not CandidateState.EQUAL:
        raise InvalidConfigurationError(f"engine '{wish.engine}' is pinned, but it is {row.state.value}: {row.reason}")


def _chosen(name: str, native: str, wish: EngineWish, allowed_threads: int, is_pinned: bool) -> EngineChoice:
    row = wish.pack.table.find(name) if wish.pack else None
    threads = row.best_threads(allowed_threads) if row and row.timings else 0
    return EngineChoice(
        name=name,
        is_native=name == native,
        is_pinned=is_pinned,
        files=wish.pack.files(name) if wish.pack and name != native else None,
        threads=threads,
        call_ms=_times(row, threads),
        pack=wish.pack_uri,
        note=wish.note,
    )


def _times(row: Candidate | None, threads: int) -> dict[int, float]:
    return row.call_ms(threads) if row is not None else {}


def _native_name(manifest: Manifest) -> str:
    try:
        return native_kind(manifest).value
    except ArtifactError:
        return manifest.framework  # the loader says that no engine runs it
