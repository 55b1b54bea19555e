"""What every log line and every internal call carries along: the request id and what it is about."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

REQUEST_ID_HEADER = "X-Request-Id"
_ACCEPTED = re.compile(r"[A-Za-z0-9._:\-]{1,128}")


def choose_request_id(offered: str) -> str:
    """Return the caller's request id if it is harmless (128 of A-Z a-z 0-9 . _ : -), else a new one."""
    # Not a secret, so not os.urandom, which would give up the interpreter's lock on each request.
    return offered if _ACCEPTED.fullmatch(offered) else f"{random.getrandbits(128):032x}"


def begin_request(request_id: str) -> None:
    """Forget the last request and stand for this one in log lines."""
    clear_contextvars()
    bind_contextvars(request_id=request_id)


def outgoing_headers() -> Mapping[str, str]:
    """Return the headers that an internal call carries on."""
    request_id = get_contextvars().get("request_id")
    return {REQUEST_ID_HEADER: str(request_id)} if request_id else {}
