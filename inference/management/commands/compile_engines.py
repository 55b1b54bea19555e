"""`manage.py compile_engines`: the process that compiles one artifact for this kind of machine.

Serving processes and `manage.py models compile` start it. Exit codes: 0 there is a pack; 1 not.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import CommandError

from aiplatform.artifacts import fetch_artifact
from aiplatform.errors import ArtifactError, PlatformError
from aiplatform.management.platform_command import PlatformCommand
from aiplatform.priority import step_back
from inference.compiling.compiler import CompileOrder, compile_artifact
from inference.compiling.here import pack_store, work_folder
from inference.compiling.lock import compile_lock
from inference.compiling.machine import machine_kind
from inference.compiling.packs import PackPlace

log = structlog.get_logger(__name__)

_NICE = 10  # servers on the same cores go first


class Command(PlatformCommand):
    """Compiles one artifact."""

    help = "Compile an artifact's engines for this kind of machine (started by serving processes)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("uri", help="the artifact's URI")
        parser.add_argument("digest", help="the artifact's digest, sha256:...")
        parser.add_argument("--force", action="store_true", help="compile again though there is a pack")

    def handle(self, *args: Any, uri: str, digest: str, force: bool, **options: Any) -> None:
        """Compile unless another process has done so meanwhile."""
        _give_way()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            with compile_lock(work_folder(), digest, timeout_s=settings.COMPILE_TIMEOUT_S):
                place = None if force else _find_sound(digest)
                if place is not None:
                    self.stdout.write(f"compiled already: {place.uri}")
                    return
                place = compile_artifact(_order(uri, digest), pack_store())
        except PlatformError as error:
            raise CommandError(error.message, returncode=1) from error
        self.stdout.write(f"compiled: {place.uri}")


def _find_sound(digest: str) -> PackPlace | None:
    place = pack_store().find(digest, machine_kind())
    if place is None:
        return None
    try:
        pack_store().fetch(place, digest=digest)
    except ArtifactError as error:
        log.warning("engine_pack_not_usable", uri=place.uri, error=error.message)
        return None
    return place


def _order(uri: str, digest: str) -> CompileOrder:
    folder = fetch_artifact(uri, cache=settings.ARTIFACT_CACHE_DIR, digest=digest)
    return CompileOrder(folder=folder, digest=digest, scratch=work_folder(), timeout_s=settings.COMPILE_TIMEOUT_S)


def _give_way() -> None:
    step_back(_NICE)
    with contextlib.suppress(OSError):  # memory runs out: this one goes first, too
        Path("/proc/self/oom_score_adj").write_text("500")
