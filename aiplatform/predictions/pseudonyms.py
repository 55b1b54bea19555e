"""Keyed digests in the place of what must not be read: subjects, hashed features, inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

DIGEST_BYTES = 16


def pseudonym(value: bytes | str, secret: str) -> str:
    """Return 32 hex digits that stand for a value; without the secret nobody can try values out.

    Raises: ValueError without a secret.
    """
    if not secret:
        raise ValueError("a pseudonym needs a secret")
    raw = value.encode() if isinstance(value, str) else value
    # BLAKE2b takes a key of up to 64 bytes; a longer secret is digested first.
    return hashlib.blake2b(raw, key=hashlib.sha512(secret.encode()).digest(), digest_size=DIGEST_BYTES).hexdigest()


def pseudonyms(values: Iterable[bytes | str], secret: str) -> list[str]:
    """Return one pseudonym a value."""
    if not secret:
        raise ValueError("a pseudonym needs a secret")
    fresh = hashlib.blake2b(key=hashlib.sha512(secret.encode()).digest(), digest_size=DIGEST_BYTES)
    found = []
    for value in values:
        digest = fresh.copy()  # the key is worked in once
        digest.update(value.encode() if isinstance(value, str) else value)
        found.append(digest.hexdigest())
    return found


def all_pseudonyms(value: str, secrets: Sequence[str]) -> list[str]:
    """Return what may stand for a value: one for each secret, as secrets rotate."""
    return [pseudonym(value, secret) for secret in secrets if secret]
