"""Who is asking: the one form in which an authenticated caller travels between apps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a token may do. `admin` may do everything."""

    PREDICT = "predict"
    TRAIN = "train"
    MONITOR = "monitor"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """An authenticated caller. `token_id` is the token's public id, never its secret."""

    username: str
    scopes: frozenset[Scope]
    token_id: str = ""

    def has_scope(self, scope: Scope) -> bool:
        """Say whether the caller may act within `scope`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def service_identity(role: str) -> Identity:
    """Return the identity under which one app calls another on its own behalf."""
    return Identity(username=f"service:{role}", scopes=frozenset({Scope.ADMIN}))
