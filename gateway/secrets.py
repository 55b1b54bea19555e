"""A token's secret and its hash. The secret has 256 random bits, so a plain fast hash is enough."""

from __future__ import annotations

import hashlib


def hash_secret(secret: str) -> str:
    """Return the digest under which knox keeps a token (SHA-512 of the text)."""
    return hashlib.sha512(secret.encode()).hexdigest()
