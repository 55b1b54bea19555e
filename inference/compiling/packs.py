"""Engine packs in the store: found by artifact digest and kind of machine, without a database.

    <store>/<artifact digest>/<kind of machine>/<number>/
        manifest.json   the artifact's own manifest, with the checksums of the pack's files
        table.json      how each engine did
        engines/        a folder of files for each converted engine

A pack is written as an artifact is: staged, verified, moved in one step, never altered. Compiling
again adds the next number. Where the first store cannot be written, the next one is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree

import structlog

from aiplatform.artifact_staging import stage_artifact
from aiplatform.artifacts import Manifest, fetch_artifact, read_manifest
from aiplatform.errors import ArtifactError
from aiplatform.storage import is_remote, join_uri, local_path, open_filesystem, remove_folder, store_errors
from inference.compiling.table import TABLE_FILE, EngineTable, decode_table

log = structlog.get_logger(__name__)

ENGINES_FOLDER = "engines"
_KEPT = 2  # the newest, and the one before, which a replica may be reading


@dataclass(frozen=True, kw_only=True)
class PackPlace:
    """Where a pack lies; not yet verified."""

    uri: str
    machine: str
    number: int


@dataclass(frozen=True, kw_only=True)
class EnginePack:
    """A verified pack in a local folder."""

    place: PackPlace
    folder: Path
    table: EngineTable

    def files(self, engine: str) -> Path | None:
        """Return the folder of an engine's converted files; None if it reads the artifact's own."""
        folder = self.folder / ENGINES_FOLDER / engine
        return folder if folder.is_dir() else None


class PackStore:
    """Packs in one or more stores, newest first over all of them."""

    def __init__(self, stores: Sequence[str], *, cache: Path) -> None:
        self._stores = tuple(stores)
        self._cache = cache

    @property
    def is_remote(self) -> bool:
        """Say whether looking costs a network call."""
        return any(map(is_remote, self._stores))

    def find(self, digest: str, machine: str) -> PackPlace | None:
        """Return the newest pack for a kind of machine.

        Raises: ArtifactError if a store cannot be listed.
        """
        places = [place for place in self._places(digest) if place.machine == machine]
        return max(places, key=lambda place: place.number, default=None)

    def list_newest(self, digest: str) -> list[PackPlace]:
        """Return the newest pack of each kind of machine, by its name; raises as `find`."""
        newest: dict[str, PackPlace] = {}
        for place in self._places(digest):
            if place.machine not in newest or newest[place.machine].number < place.number:
                newest[place.machine] = place
        return [newest[machine] for machine in sorted(newest)]

    def fetch(self, place: PackPlace, *, digest: str) -> EnginePack:
        """Return a pack, verified.

        Raises: ArtifactError if it is gone; ArtifactCorruptError if a byte differs.
        """
        _, pack_digest = read_manifest(place.uri)
        folder = fetch_artifact(place.uri, cache=self._cache, digest=pack_digest)
        try:
            table = decode_table((folder / TABLE_FILE).read_bytes())
        except OSError as error:
            raise ArtifactError(f"{place.uri} has no {TABLE_FILE}: {error}") from error
        if table.artifact_digest != digest:
            raise ArtifactError(f"{place.uri} is the pack of {table.artifact_digest}, not of {digest}")
        return EnginePack(place=place, folder=folder, table=table)

    def publish(self, source: Path, *, manifest: Manifest, digest: str, machine: str) -> PackPlace:
        """Write a folder as the next pack, in the first store that takes it.

        Raises: ArtifactError if none does.
        """
        newest = self.find(digest, machine)
        number = newest.number + 1 if newest else 1
        refused: list[str] = []
        for store in self._stores:
            place = PackPlace(uri=_pack_uri(store, digest, machine, number), machine=machine, number=number)
            try:
                _write(source, place.uri, manifest)
            except ArtifactError as error:
                refused.append(error.message)
                continue
            self._remove_old(digest, machine, number)
            log.info("engine_pack_written", uri=place.uri)
            return place
        raise ArtifactError(f"no store takes the engine pack: {'; '.join(refused)}")

    def _places(self, digest: str) -> list[PackPlace]:
        return [place for store in self._stores for place in _list_places(store, digest)]

    def _remove_old(self, digest: str, machine: str, number: int) -> None:
        for place in self._places(digest):
            if place.machine != machine or place.number > number - _KEPT:
                continue
            try:
                _remove(place.uri)
            except ArtifactError as error:
                log.warning("old_engine_pack_not_removed", uri=place.uri, error=error.message)


def _pack_uri(store: str, digest: str, machine: str, number: int) -> str:
    return join_uri(store, digest.replace(":", "-"), machine, str(number))


def _list_places(store: str, digest: str) -> list[PackPlace]:
    root = join_uri(store, digest.replace(":", "-"))
    pairs = _remote_pairs(root) if is_remote(root) else _local_pairs(root)
    return [
        PackPlace(uri=join_uri(root, machine, number), machine=machine, number=int(number))
        for machine, number in sorted(pairs)
        if number.isdecimal()
    ]


def _local_pairs(root: str) -> set[tuple[str, str]]:
    try:
        return {(path.parent.name, path.name) for path in local_path(root).glob("*/*") if path.is_dir()}
    except OSError as error:
        raise ArtifactError(f"could not list {root}: {error}") from error


def _remote_pairs(root: str) -> set[tuple[str, str]]:
    with store_errors(f"could not list {root}"):
        filesystem, path = open_filesystem(root)
        names = [str(name)[len(path) :].strip("/").split("/") for name in filesystem.find(path)]
    # The manifest comes last, so it marks a whole pack.
    return {(parts[0], parts[1]) for parts in names if len(parts) == 3 and parts[2] == "manifest.json"}


def _write(source: Path, uri: str, manifest: Manifest) -> None:
    with stage_artifact(uri) as staged:
        try:
            copytree(source, staged.folder, dirs_exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"could not write {uri}: {error}") from error
        staged.commit(replace(manifest, files={}))


def _remove(uri: str) -> None:
    if not is_remote(uri):
        remove_folder(local_path(uri))
        return
    with store_errors(f"could not remove {uri}"):
        filesystem, root = open_filesystem(uri)
        filesystem.rm(root, recursive=True)
