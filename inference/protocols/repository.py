"""V2's model repository extension, of which the index works: what is served, loading or failed."""

from __future__ import annotations

from collections.abc import Iterable

from aiplatform.errors import InvalidInputError
from inference.protocols.json_body import dump, json_kind, parse_object
from inference.protocols.messages import Encoded

READY_STATE = "READY"


def decode_index(body: bytes) -> bool:
    """Return whether only ready versions are asked for; the body may be empty.

    Raises: InvalidInputError if it is no object, or `ready` no boolean.
    """
    ready = parse_object(body).get("ready", False) if body.strip() else False
    if not isinstance(ready, bool):
        raise InvalidInputError(f"'ready' must be true or false, not {json_kind(ready)}")
    return ready


def encode_index(states: Iterable[tuple[str, int, str, str]], *, only_ready: bool) -> Encoded:
    """Return versions, each (model, version, 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE', reason)."""
    items = [
        {"name": model, "version": str(version), "state": state, "reason": reason}
        for model, version, state, reason in states
        if state == READY_STATE or not only_ready
    ]
    return Encoded(dump(items))
