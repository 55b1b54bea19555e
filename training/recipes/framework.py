"""Begins to load a learning framework while there is other work: it takes seconds, and a run needs it in any case."""

from __future__ import annotations

import contextlib
import importlib
import threading
from contextlib import AbstractContextManager

_MODULES = {"tensorflow": ("tensorflow", "keras"), "torch": ("torch",)}


def load_beside(framework: str, during: AbstractContextManager[object] | None = None) -> threading.Thread:
    """Load a framework in a thread, with `during` entered meanwhile.

    Whoever imports it meanwhile waits for it, and meets what the import raises. Reading, unpacking and hashing the data
    go on beside it on another core.
    """
    thread = threading.Thread(target=_load, args=(_MODULES.get(framework, ()), during), name="framework")
    thread.start()
    return thread


def _load(modules: tuple[str, ...], during: AbstractContextManager[object] | None) -> None:
    with during or contextlib.nullcontext():
        for name in modules:
            with contextlib.suppress(Exception):  # the learner imports it too, and says what is wrong
                importlib.import_module(name)
