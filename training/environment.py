"""What a trainer on this machine inherits of the environment of whoever starts it."""

from __future__ import annotations

import os

# The parent's own: a trainer that counted into the server's metrics folder would outlive it there.
_NOT_INHERITED = ("PROMETHEUS_MULTIPROC_DIR",)
# Threads of OpenMP (PyTorch's) that wait must not keep a core busy: beside other work on the machine, that made
# training several times slower. Who sets the variable himself keeps his.
_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE"}


def inherited_environment() -> dict[str, str]:
    """Return the variables that every trainer gets, whatever it trains."""
    return _DEFAULTS | {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
