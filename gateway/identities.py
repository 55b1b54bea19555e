"""Who a token stands for, in memory: a hash and a dictionary look-up, no database on the way.

A background loop (`loop.py`) loads all usable tokens every IDENTITY_REFRESH_S. The process that
changes a token loads at once; a secret nobody knows yet makes a process look, at most every
MISS_INTERVAL_S, so that a token works as soon as it was made anywhere. While the database is down the
last known state counts. A process that never reached the database does not know: 503, not 401.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog
from django.db import DatabaseError

from aiplatform.errors import UnauthenticatedError, UnavailableError
from aiplatform.identity import Identity
from gateway.limits.rates import Allowance
from gateway.secrets import hash_secret

log = structlog.get_logger(__name__)

MISS_INTERVAL_S = 0.5
SCHEMES = ("bearer", "token")


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownToken:
    """What the doors need to know of one token."""

    digest: str
    identity: Identity
    expires_at_s: float  # since the epoch; infinity: never
    predict: Allowance
    api: Allowance


LoadTokens = Callable[[], Iterable[KnownToken]]


class Identities:
    """The tokens as last seen. One writer at a time; readers take no lock."""

    def __init__(self, *, load: LoadTokens, clock: Callable[[], float] = time.time) -> None:
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: Mapping[str, KnownToken] | None = None
        self._loaded_at_s = 0.0
        self._tried_at_s = 0.0
        self._asked_at_s = 0.0  # when a request had the tokens loaded
        self._asking: asyncio.Task[None] | None = None  # that load, on an event loop
        self._is_changed = False
        self._error = ""
        self._used: dict[str, float] = {}  # token id to when; written to the database in batches

    @property
    def is_known(self) -> bool:
        """Say whether the tokens were ever loaded."""
        return self._tokens is not None

    @property
    def error(self) -> str:
        """Return why the last load failed; '' if it did not."""
        return self._error

    @property
    def age_s(self) -> float:
        """Return how old the last known state is, in seconds."""
        return self._clock() - self._loaded_at_s

    def mark_changed(self) -> None:
        """Have the next request load the tokens before it is decided."""
        self._is_changed = True

    def refresh(self) -> bool:
        """Load the tokens; if the database fails, keep the last and return False."""
        with self._lock:
            was_changed, self._is_changed = self._is_changed, False
            self._tried_at_s = self._clock()
            try:
                self._tokens = {token.digest: token for token in self._load()}
            except DatabaseError as error:
                self._is_changed = was_changed
                if not self._error:
                    log.warning("tokens_not_loaded", error=str(error), is_known=self.is_known)
                self._error = str(error) or type(error).__name__
                return False
            self._error, self._loaded_at_s = "", self._tried_at_s
            return True

    def authenticate(self, authorization: str) -> KnownToken:
        """Return the token in an Authorization header; may read the database (see the module).

        Raises: UnauthenticatedError; UnavailableError if this process never knew the tokens.
        """
        digest = self.digest(authorization)
        if self._must_look(digest):
            self._asked_at_s = self._clock()
            self.refresh()
        elif not self._is_listed(digest):
            with self._lock:  # a load that is under way may bring it
                pass
        return self._decide(digest)

    async def authenticate_async(self, authorization: str) -> KnownToken:
        """Do the same on an event loop: a look at the database goes to a thread, one for all who come meanwhile."""
        digest = self.digest(authorization)
        asking = None if self._is_listed(digest) else self._asking
        if self._must_look(digest):
            self._asked_at_s = self._clock()
            asking = self._asking = asyncio.ensure_future(asyncio.to_thread(self._refresh_in_thread))
        if asking is not None and not asking.done():
            await asyncio.shield(asking)  # a client that leaves takes nobody's answer along
        return self._decide(digest)

    def take_used(self) -> Mapping[str, float]:
        """Return and forget when each token was used since the last call."""
        used, self._used = self._used, {}
        return used

    def _refresh_in_thread(self) -> None:
        from django.db import connection

        try:
            self.refresh()
        finally:
            connection.close()  # the pool's threads come and go; their connections must not stay

    def find(self, digest: str) -> KnownToken | None:
        """Return the token of a digest if that can be said at once: no look at the database is due, and it is good."""
        if self._is_changed or self._tokens is None:
            return None
        token = self._tokens.get(digest)
        now_s = self._clock()
        if token is None or now_s >= token.expires_at_s:
            return None
        self._used[token.identity.token_id] = now_s
        return token

    def digest(self, authorization: str) -> str:
        """Return the digest of the secret in an Authorization header.

        Raises: UnauthenticatedError if there is none.
        """
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() not in SCHEMES or not secret or " " in secret:
            raise UnauthenticatedError("this needs a token: Authorization: Bearer <token>")
        return hash_secret(secret)

    def _must_look(self, digest: str) -> bool:
        if self._is_changed:
            return not self._error or self._is_rested()
        return not self._is_listed(digest) and self._is_rested()

    def _is_listed(self, digest: str) -> bool:
        return self._tokens is not None and digest in self._tokens

    def _is_rested(self) -> bool:
        # What the loop loaded by itself a moment ago says nothing of a secret that was made since.
        last_s = self._tried_at_s if self._error else self._asked_at_s
        return not 0 <= self._clock() - last_s < MISS_INTERVAL_S

    def _decide(self, digest: str) -> KnownToken:
        if self._tokens is None:
            raise UnavailableError("the database cannot be reached, so no token can be checked yet")
        token = self._tokens.get(digest)
        if token is None:
            raise UnauthenticatedError("the token is not known, revoked or expired")
        now_s = self._clock()
        if now_s >= token.expires_at_s:
            raise UnauthenticatedError("the token has expired")
        self._used[token.identity.token_id] = now_s
        return token


def load_tokens() -> list[KnownToken]:
    """Read the usable tokens with their rates from the database."""
    from gateway.token_reader import read_known_tokens

    return read_known_tokens()


identities = Identities(load=load_tokens)
