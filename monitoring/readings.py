"""What has been read already, so that those who ask for the same in one go share it.

Eight rules that look at one version ask for the same windows again and again. One object lives as long as one
evaluation, and nothing in it outlives that: the next one reads anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Asked = TypeVarTuple("Asked")


class Readings:
    """Remembers answers. Who gets one must not change it; what raises is asked again."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Any] = {}

    def once(self, read: Callable[[*Asked], T], *asked: *Asked) -> T:
        """Return what `read(*asked)` returns, called once for the same arguments."""
        key = (read, *asked)
        if key not in self._known:
            self._known[key] = read(*asked)
        found: T = self._known[key]
        return found
