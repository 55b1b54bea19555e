"""Which tests one worker runs one after the other: those that stand on something that is started once for them."""

from __future__ import annotations

import re

# What takes long to start, by its name among a test's parameters: a platform of that kind, or on that object store.
_STARTED = re.compile(r"[\[-](single|split|s3|gs)(?=[\]-])")
_CLIENTS = "tests/e2e/clients/"
# What takes minutes with each of Keras' backends, in processes of its own.
_BACKEND = re.compile(r"[\[-](torch|jax)(?=[\]-])")
_BY_BACKEND = "tests/training/recipes/test_keras_backends.py"


def unit_of(nodeid: str) -> str:
    """Return the name of the unit of work of a test: its file, divided by platform; one a platform for all clients.

    A worker is given a unit as a whole. A file whose tests run against two platforms is two units, so that two workers
    may have them, as is the one whose tests take minutes with each of two backends; all files of the third-party
    clients ask the same platforms, and must meet there.
    """
    path, _, test = nodeid.partition("::")
    started = _STARTED.search(test) if path.startswith("tests/e2e/") else None
    if path == _BY_BACKEND:
        started = _BACKEND.search(test)
    place = _CLIENTS if path.startswith(_CLIENTS) else path
    return f"{place}[{started[1]}]" if started else place
