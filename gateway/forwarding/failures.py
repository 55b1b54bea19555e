"""How a connection to another app fails."""

from __future__ import annotations


class ConnectionBrokenError(ConnectionError):
    """The connection ended, or made no sense, before the answer was whole."""

    def __init__(self, message: str, *, has_begun: bool = False) -> None:
        super().__init__(message)
        self.has_begun = has_begun  # some of the answer had come


class ConnectTimeoutError(TimeoutError):
    """No connection could be opened in time."""
