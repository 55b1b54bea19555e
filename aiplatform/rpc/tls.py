"""TLS before the gRPC door: HTTP/2 alone is offered, and from TLS 1.2 on, as RFC 9113 wants it."""

from __future__ import annotations

import ssl

from aiplatform.errors import InvalidConfigurationError


def server_tls(cert: str, key: str) -> ssl.SSLContext | None:
    """Return what a server needs for TLS with these PEM files; None if no certificate is named.

    Raises: InvalidConfigurationError if they cannot be read or do not belong together.
    """
    if not cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(cert, key or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfigurationError(f"GRPC_TLS_CERT and GRPC_TLS_KEY cannot be used: {error}") from error
    return context
