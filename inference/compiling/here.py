"""This process's pack store and compiler, set up from the settings."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from django.conf import settings

from aiplatform.contracts.engines import CompileVersion
from inference.compiling.compiler_queue import CompilerQueue
from inference.compiling.packs import PackStore


def work_folder() -> Path:
    """Return where compilations keep locks, logs and drafts."""
    return Path(settings.DATA_DIR) / "engine-work"


@functools.cache
def pack_store() -> PackStore:
    """Return the packs: those of the engine store, and this host's own where that is read-only."""
    own = f"file://{settings.DATA_DIR}/engines"
    stores = [settings.ENGINE_STORE, *([own] if own != settings.ENGINE_STORE else [])]
    return PackStore(stores, cache=settings.ARTIFACT_CACHE_DIR)


@functools.cache
def compiler_queue() -> CompilerQueue:
    """Return what starts compilations in this process."""
    return CompilerQueue(command=compile_command, root=settings.BASE_DIR, logs=work_folder())


def compile_command(order: CompileVersion) -> list[str]:
    """Return the child's command line."""
    force = ["--force"] if order.force else []
    return [sys.executable, "manage.py", "compile_engines", order.artifact_uri, order.artifact_digest, *force]
