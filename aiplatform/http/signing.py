"""Signatures on internal requests: method, path, body, identity and time under a shared secret.

The first secret signs; all secrets verify, so that they rotate without an outage. A signature
is good for `MAX_AGE_S` around its time; internal calls are idempotent or carry a key, so that
a repeat within that time does no harm.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Sequence

from aiplatform.errors import UnauthenticatedError

SIGNATURE_HEADER = "X-Platform-Signature"
IDENTITY_HEADER = "X-Platform-Identity"
MAX_AGE_S = 300
_TIME = re.compile(r"[0-9]{1,12}")  # ASCII only: str.isdigit() also takes what int() refuses


def canonical_target(decoded_path: str, query: str) -> str:
    """Return the form of path and query that is signed.

    Servers decode percent signs in paths differently, so the decoded path is what counts.
    """
    return f"{decoded_path}?{query}" if query else decoded_path


def sign_request(
    secret: str, *, method: str, target: str, body: bytes, identity: str, now_s: float | None = None
) -> str:
    """Return the header's value. `target` is canonical, `identity` its header."""
    moment = int(time.time() if now_s is None else now_s)
    return f"t={moment},v1={_mac(secret, moment, method, target, body, identity)}"


def verify_request(
    secrets: Sequence[str],
    header: str,
    *,
    method: str,
    target: str,
    body: bytes,
    identity: str,
    now_s: float | None = None,
) -> None:
    """Raise UnauthenticatedError unless one of the secrets signed exactly this, recently."""
    fields = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    if not _TIME.fullmatch(fields.get("t", "")) or "v1" not in fields:
        raise UnauthenticatedError(f"{SIGNATURE_HEADER} is missing or malformed on an internal path")
    moment = int(fields["t"])
    age_s = (time.time() if now_s is None else now_s) - moment
    if abs(age_s) > MAX_AGE_S:
        raise UnauthenticatedError(
            f"{SIGNATURE_HEADER} is {age_s:.0f} s old, more than {MAX_AGE_S} s; are the clocks apart?"
        )
    expected = [_mac(secret, moment, method, target, body, identity) for secret in secrets]
    if not any(hmac.compare_digest(fields["v1"].encode(), mac.encode()) for mac in expected):
        raise UnauthenticatedError(f"{SIGNATURE_HEADER} does not match; do the INTERNAL_SECRETS agree?")


def _mac(secret: str, moment: int, method: str, target: str, body: bytes, identity: str) -> str:
    content = hashlib.sha256(body).hexdigest()
    text = "\n".join([str(moment), method.upper(), target, content, identity])
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()
