"""An inference process as a gateway sees it: signed requests, a registry in-process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from aiplatform.http.codec import encode_message
from aiplatform.http.in_process import in_process_client
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, sign_request
from aiplatform.identity import Identity, Scope
from tests.inference.api import urls
from tests.inference.endpoints.fakes import FakeRegistry


@pytest.fixture
def registry(tmp_path: Path, settings: LazySettings) -> Iterator[FakeRegistry]:
    """Put a registry with three versions of `digits` in training's place."""
    settings.ROOT_URLCONF = "tests.inference.api.urls"
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("gateway.")]
    in_process_client.cache_clear()
    registry = FakeRegistry(tmp_path / "artifacts")
    for version in (1, 2, 3):
        registry.add("digits", version)
    urls.registries.append(registry)
    yield registry
    urls.registries.pop()
    in_process_client.cache_clear()


class Caller:
    """Sends requests that a gateway has signed for an identity."""

    def __init__(self, secret: str, *scopes: Scope) -> None:
        self._secret = secret
        self._identity = encode_message(Identity(username="ann", scopes=frozenset(scopes))).decode()
        self._client = Client()

    def get(self, path: str) -> tuple[int, Any]:
        return self._send("GET", path, b"")

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return self._send("POST", path, json.dumps(body).encode())

    def delete(self, path: str) -> tuple[int, Any]:
        return self._send("DELETE", path, b"")

    def _send(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        signature = sign_request(self._secret, method=method, target=path, body=body, identity=self._identity)
        response = self._client.generic(
            method,
            path,
            body,
            content_type="application/json",
            headers={SIGNATURE_HEADER: signature, IDENTITY_HEADER: self._identity},
        )
        return response.status_code, json.loads(response.content) if response.content else None


@pytest.fixture
def admin(settings: LazySettings) -> Caller:
    """Return a caller who may do everything."""
    return Caller(settings.INTERNAL_SECRETS[0], Scope.ADMIN)


@pytest.fixture
def monitor(settings: LazySettings) -> Caller:
    """Return a caller who may only look."""
    return Caller(settings.INTERNAL_SECRETS[0], Scope.MONITOR)
