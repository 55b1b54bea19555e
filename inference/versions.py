"""Finds out what a version is: from the registry, else from what was learnt earlier."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
import structlog

from aiplatform.artifacts import ImageInput, Manifest, read_manifest
from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.errors import ArtifactCorruptError, DeadlineExceededError, UnavailableError
from aiplatform.services import training_client
from inference.models import VersionFacts

log = structlog.get_logger(__name__)


class Registry(Protocol):
    """The part of training's contract that is needed here."""

    def get_model_version(self, model: str, reference: str) -> ModelVersionInfo: ...


@dataclass(frozen=True, kw_only=True)
class ServableVersion:
    """What is needed to load a version and to say what it takes."""

    info: ModelVersionInfo
    image: ImageInput | None = None


def resolve_version(model: str, reference: str, *, registry: Registry | None = None) -> ServableVersion:
    """Return a version by number, alias or 'latest', and keep the answer for later.

    A number that was ordered before is also found while training is away. Must not be called
    inside a transaction.
    Raises: NotFoundError if there is none; UnavailableError if training is needed and away;
    ArtifactError if the artifact cannot be read; ArtifactCorruptError if it is not the registered one.
    """
    try:
        info = (registry or training_client()).get_model_version(model, reference)
    except (UnavailableError, DeadlineExceededError):
        known = find_known_versions(model, [int(reference)] if reference.isdecimal() else [])
        if not known:
            raise
        log.warning("registry_away_using_known_version", model=model, version=reference)
        return known[0]
    for known_version in find_known_versions(model, [info.version]):
        if known_version.info.artifact_digest == info.artifact_digest:
            return known_version
    return _keep(info, _read_registered_manifest(info))


def find_known_versions(model: str, versions: Iterable[int]) -> list[ServableVersion]:
    """Return those of the versions that were ordered before, by number."""
    rows = VersionFacts.objects.filter(model=model, version__in=list(versions)).order_by("version")
    return [decode_facts(row) for row in rows]


def decode_facts(row: VersionFacts) -> ServableVersion:
    """Return a row of facts as what was learnt."""
    image = msgspec.convert(row.image, ImageInput) if row.image else None
    return ServableVersion(info=msgspec.convert(row.info, ModelVersionInfo), image=image)


def _read_registered_manifest(info: ModelVersionInfo) -> Manifest:
    manifest, digest = read_manifest(info.artifact_uri)
    if digest != info.artifact_digest:
        raise ArtifactCorruptError(
            f"the artifact at {info.artifact_uri} has the digest {digest}; {info.artifact_digest} is registered"
        )
    return manifest


def _keep(info: ModelVersionInfo, manifest: Manifest) -> ServableVersion:
    found = ServableVersion(
        info=replace(info, aliases=(), labels=tuple(manifest.labels or info.labels)), image=manifest.image
    )
    VersionFacts.objects.update_or_create(
        model=info.model,
        version=info.version,
        defaults={"info": msgspec.to_builtins(found.info), "image": msgspec.to_builtins(found.image)},
    )
    return found
