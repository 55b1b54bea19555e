"""A version's engines, as inference compiles them: ordered after a run, read for pages and commands.

Nothing here is needed for a version to be registered or served: without inference it is served by
its own engine until it is compiled.
"""

from __future__ import annotations

import time
from uuid import UUID

import structlog
from django.db import DatabaseError

from aiplatform.contracts.engines import CompileVersion, EngineReports
from aiplatform.errors import DeadlineExceededError, PlatformError
from aiplatform.services import inference_client
from training.models import ModelVersion
from training.states import VersionState

log = structlog.get_logger(__name__)

_POLL_S = 0.5


def order_compilation(version: ModelVersion, *, force: bool = False, is_automatic: bool = False) -> EngineReports:
    """Have a version compiled for serving, in the background.

    Raises: PlatformError as inference answered it.
    """
    order = CompileVersion(
        model=version.model.name,
        version=version.version,
        artifact_uri=version.artifact_uri,
        artifact_digest=version.artifact_digest,
        force=force,
        is_automatic=is_automatic,
    )
    return inference_client().compile_version(order)


def compile_quietly(run_id: UUID) -> None:
    """Order the compilation of a run's version; a serving process that finds none orders it itself."""
    try:
        version = ModelVersion.objects.select_related("model").filter(run=run_id, state=VersionState.READY).first()
    except DatabaseError as error:
        log.warning("compilation_not_ordered", run=str(run_id), error=str(error))
        return
    if version is not None:
        compile_version_quietly(version)


def compile_version_quietly(version: ModelVersion) -> None:
    """Order the compilation of a version that was just registered; inference may be away."""
    name = {"model": version.model.name, "version": version.version}
    try:
        found = order_compilation(version, is_automatic=True)
    except PlatformError as error:
        log.warning("compilation_not_ordered", **name, error=error.message)
        return
    log.info("compilation_ordered", **name, state=found.state)


def find_engines(artifact_digest: str) -> EngineReports:
    """Return how the engines did with an artifact; while inference is away, only that."""
    try:
        return inference_client().get_engines(artifact_digest)
    except PlatformError as error:
        return EngineReports(artifact_digest=artifact_digest, machine="", state="unknown", detail=error.message)


def wait_for_engines(version: ModelVersion, *, timeout_s: float) -> EngineReports:
    """Return the engines once the compilation has ended.

    Raises: DeadlineExceededError if it takes longer; PlatformError as inference answered it.
    """
    until = time.monotonic() + timeout_s
    while True:
        found = inference_client().get_engines(version.artifact_digest)
        if found.state != "compiling":
            return found
        if time.monotonic() > until:
            raise DeadlineExceededError(f"version {version.version} is still being compiled after {timeout_s:g} s")
        time.sleep(_POLL_S)
