"""Which requests need what: routes, scopes and limits, the same at every door.

The predict doors (HTTP, its lane, gRPC) share one `PredictPolicy`; the Django middleware asks here too, and the fine
check of scopes is each view's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiplatform.contracts.predict import REPOSITORY_INDEX_PATH
from aiplatform.errors import PermissionDeniedError, RateLimitedError
from aiplatform.identity import Identity, Scope
from gateway import metrics
from gateway.identities import Identities, KnownToken
from gateway.limits.answers import rate_limited_error
from gateway.limits.limiter import Limiter
from gateway.limits.window import Verdict

PREDICT = "predict"
HEALTH = "health"
OTHER = "other"
API_ROUTES = ("training", "inference", "monitoring", "gateway")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "DELETE"}

# What a change under /api/<route>/ needs, where one scope is right for the whole route.
_WRITE_SCOPES = {"training": Scope.TRAIN}


def api_route(path: str) -> str:
    """Return the service that a path below /api/ belongs to, or 'other'."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) > 2 and parts[2] in API_ROUTES else OTHER


def check_predict_scope(identity: Identity, method: str, path: str) -> None:
    """Raise PermissionDeniedError unless it may predict; `monitor` may also read metadata."""
    only_reads = method in SAFE_METHODS or path == REPOSITORY_INDEX_PATH
    may_read = only_reads and identity.has_scope(Scope.MONITOR)
    if not (may_read or identity.has_scope(Scope.PREDICT)):
        raise _scope_missing(Scope.PREDICT)


def check_api_scope(identity: Identity, route: str, method: str) -> None:
    """Raise PermissionDeniedError if no view of the route can allow this change."""
    scope = _WRITE_SCOPES.get(route)
    if scope is not None and method not in SAFE_METHODS and not identity.has_scope(scope):
        raise _scope_missing(scope)


def admit(limiter: Limiter, token: KnownToken, route: str) -> tuple[Verdict, RateLimitedError | None]:
    """Count a request against the token's limit for a route; with the error if it is past it.

    Both go back, since the headers of a refusal come from the verdict too.
    """
    allowance = token.predict if route == PREDICT else token.api
    verdict = limiter.admit((token.identity.token_id, route), allowance.rate)
    if verdict.is_allowed:
        return verdict, None
    metrics.rate_limited.labels(route).inc()
    return verdict, rate_limited_error(route, allowance, verdict)


CountRequest = Callable[[str, int, float], None]  # route, HTTP status, seconds


@dataclass(frozen=True, kw_only=True)
class PredictPolicy:
    """What every predict door asks of a request: who it is, whether it may, how often; and who counts it."""

    identities: Identities
    limiter: Limiter
    count: CountRequest = metrics.count_request

    def admit(self, token: KnownToken, method: str, path: str) -> tuple[Verdict, RateLimitedError | None]:
        """Check the scope, then count against the token's limit, as `admit` does.

        Raises: PermissionDeniedError, before anything is counted.
        """
        check_predict_scope(token.identity, method, path)
        return admit(self.limiter, token, PREDICT)

    def note(self, status: int, seconds: float) -> None:
        """Count an answered prediction."""
        self.count(PREDICT, status, seconds)

    def note_health(self, status: int, seconds: float) -> None:
        """Count an answer that tells nothing of any model, and needs no token."""
        self.count(HEALTH, status, seconds)


def _scope_missing(scope: Scope) -> PermissionDeniedError:
    return PermissionDeniedError(f"this needs a token with the scope '{scope.value}'", scope=scope.value)
