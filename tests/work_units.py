"""Which tests one worker runs one after the other: those that stand on something that is started once for them."""

from __future__ import annotations

import re

# What takes long to start, by its name among a test's parameters: a platform of that kind, or on that object store.
_STARTED = re.compile(r"[\[-](single|split|s3|gs)(?=[\]-])")
_CLIENTS = "tests/e2e/clients/"
# What takes minutes and starts all that it needs itself: each of these tests is a unit.
_ALONE = re.compile(
    r"tests/training/recipes/test_keras_backends\.py::test_\w+\[(?:torch|jax)\]$"
    r"|tests/training/launchers/test_many_nodes\.py::test_two_pods_learn_over_the_frameworks_own_engines\["
)


def unit_of(nodeid: str) -> str:
    """Return the name of the unit of work of a test: its file, divided by platform; one a platform for all clients.

    A worker is given a unit as a whole. A file whose tests run against two platforms is two units, so that two workers
    may have them; all files of the third-party clients ask the same platforms, and must meet there. A test that takes
    minutes on its own is a unit of its own.
    """
    if _ALONE.match(nodeid):
        return nodeid
    path, _, test = nodeid.partition("::")
    started = _STARTED.search(test) if path.startswith("tests/e2e/") else None
    place = _CLIENTS if path.startswith(_CLIENTS) else path
    return f"{place}[{started[1]}]" if started else place
