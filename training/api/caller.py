"""Who calls the public API."""

from __future__ import annotations

from rest_framework.request import Request

from aiplatform.errors import UnauthenticatedError
from aiplatform.identity import Identity


def caller(request: Request) -> Identity:
    """Return the identity that authentication put on the request.

    Raises: UnauthenticatedError if there is none, which the permission has ruled out before.
    """
    if not isinstance(request.auth, Identity):
        raise UnauthenticatedError("this needs an identity")
    return request.auth
