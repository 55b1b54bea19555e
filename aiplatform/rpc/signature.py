"""The gRPC door of a serving process without a gateway: only signed calls come in."""

from __future__ import annotations

from collections.abc import Sequence

from aiplatform.http.codec import decode_message, encode_message
from aiplatform.http.signing import sign_request, verify_request
from aiplatform.identity import Identity, service_identity
from aiplatform.rpc.calls import IDENTITY_KEY, OPEN_METHODS, SIGNATURE_KEY, Call, CallApplication

_METHOD = "POST"  # what gRPC is to HTTP/2


class RequireCallSignature:
    """Verify the signature, put the identity into the call, and go on; health needs none."""

    def __init__(self, application: CallApplication, *, secrets: Sequence[str]) -> None:
        self._application = application
        self._secrets = secrets

    def __call__(self, call: Call) -> None:
        call.identity = service_identity("health") if call.method in OPEN_METHODS else self._verified(call)
        self._application(call)

    def _verified(self, call: Call) -> Identity:
        identity = call.text(IDENTITY_KEY)
        verify_request(
            self._secrets,
            call.text(SIGNATURE_KEY),
            method=_METHOD,
            target=call.method,
            body=call.body,
            identity=identity,
        )
        return decode_message(identity.encode(), Identity)


def sign_call(secret: str, call: Call) -> tuple[tuple[str, str | bytes], ...]:
    """Return the metadata with which a checked call goes on to another process."""
    identity = encode_message(call.identity)
    signature = sign_request(secret, method=_METHOD, target=call.method, body=call.body, identity=identity.decode())
    return ((IDENTITY_KEY, identity), (SIGNATURE_KEY, signature))
