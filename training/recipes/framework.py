"""Begins to load a learning framework while there is other work: it takes seconds, and a run needs it in any case."""

from __future__ import annotations

import contextlib
import importlib
import threading

_MODULES = {"tensorflow": ("tensorflow", "keras"), "torch": ("torch",)}


def load_beside(framework: str) -> threading.Thread:
    """Load a framework in a thread; whoever imports it meanwhile waits for it, and meets what the import raises.

    Reading, unpacking and hashing the data go on beside it on another core.
    """
    thread = threading.Thread(target=_load, args=(_MODULES.get(framework, ()),), name="framework")
    thread.start()
    return thread


def _load(modules: tuple[str, ...]) -> None:
    for name in modules:
        with contextlib.suppress(Exception):  # the learner imports it too, and says what is wrong
            importlib.import_module(name)
