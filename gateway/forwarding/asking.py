"""A prediction that is asked of the inference service: what is sent, to whichever address."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from aiplatform.context import REQUEST_ID_HEADER
from aiplatform.contracts.predict import DEADLINE_HEADER
from aiplatform.http.codec import encode_message
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, sign_request
from aiplatform.identity import Identity
from gateway.forwarding.connection import Headers

_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()
_IDENTITY = IDENTITY_HEADER.lower().encode()
_SIGNATURE = SIGNATURE_HEADER.lower().encode()
_DEADLINE = DEADLINE_HEADER.lower().encode()


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """What of a request is the same for all addresses: `headers` are those that travel on."""

    method: str
    target: str
    signed_target: str
    headers: Headers
    wait_s: float


class Asking:
    """One request, signed; the same for each address that it is sent to."""

    __slots__ = ("_fixed", "body", "ends_at_s", "request", "varying")

    def __init__(
        self,
        request: ForwardedRequest,
        body: bytes,
        ends_at_s: float,
        identity: Identity,
        request_id: str,
        secret: str,
    ) -> None:
        encoded = _encode_identity(identity)
        signature = sign_request(
            secret, method=request.method, target=request.signed_target, body=body, identity=encoded
        )
        self.request = request
        self.body = body
        self.ends_at_s = ends_at_s
        self.varying: Headers = [(_REQUEST_ID, request_id.encode()), (_SIGNATURE, signature.encode())]
        self._fixed: Headers = [*request.headers, (_IDENTITY, encoded.encode())]

    def headers(self, left_s: float) -> Headers:
        """Return the headers that do not vary, and how long the answer may take."""
        return [*self._fixed, (_DEADLINE, b"%d" % max(1, int(left_s * 1000)))]


@functools.lru_cache(maxsize=1024)
def _encode_identity(identity: Identity) -> str:
    return encode_message(identity).decode()
