"""Lets an order that was given in a serving process take effect there at once."""

from __future__ import annotations

from collections.abc import Callable

_listeners: list[Callable[[], None]] = []


def add_listener(listener: Callable[[], None]) -> None:
    """Call `listener` after each order in this process."""
    _listeners.append(listener)


def remove_listener(listener: Callable[[], None]) -> None:
    """Call it no more."""
    if listener in _listeners:
        _listeners.remove(listener)


def nudge_reconcilers() -> None:
    """Tell this process's reconciler, if there is one, that the desired state has changed."""
    for listener in _listeners[:]:  # a listener may go meanwhile
        listener()
