"""What every log line and every internal call carries along: the request id and what it is about."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

REQUEST_ID_HEADER = "X-Request-Id"
_ACCEPTED = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_fields: ContextVar[dict[str, Any] | None] = ContextVar("aiplatform_request", default=None)


def choose_request_id(offered: str) -> str:
    """Return the caller's request id if it is harmless (128 of A-Z a-z 0-9 . _ : -), else a new one."""
    if offered and _ACCEPTED.fullmatch(offered):
        return offered
    # Not a secret, so not os.urandom, which would give up the interpreter's lock on each request.
    return f"{random.getrandbits(128):032x}"


def begin_request(request_id: str, **fields: Any) -> None:
    """Forget the last request and stand for this one in log lines."""
    _fields.set({"request_id": request_id, **fields})


def describe_request(**fields: Any) -> None:
    """Say more of the request that runs now; it stands in all its log lines from here on."""
    _fields.set({**(_fields.get() or {}), **fields})


def current_request_id() -> str:
    """Return the id of the request that runs now; '' outside of one."""
    return str((_fields.get() or {}).get("request_id", ""))


def add_request_fields(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the request's fields into a log line; a processor for structlog. The line's own fields win."""
    for name, value in (_fields.get() or {}).items():
        event.setdefault(name, value)
    return event


def outgoing_headers() -> Mapping[str, str]:
    """Return the headers that an internal call carries on."""
    request_id = current_request_id()
    return {REQUEST_ID_HEADER: request_id} if request_id else {}
