"""Gives each app its clients for the others: by address where one is set, else in-process."""

from __future__ import annotations

import functools

import httpx
from django.conf import settings

from aiplatform.context import outgoing_headers
from aiplatform.contracts.inference import InferenceClient
from aiplatform.contracts.monitoring import MonitoringClient
from aiplatform.contracts.training import TrainingClient
from aiplatform.errors import InvalidConfigurationError
from aiplatform.http.addresses import BalancedTransport, split_addresses
from aiplatform.http.client import ServiceClient
from aiplatform.http.in_process import in_process_client
from aiplatform.http.transaction import forbid_open_transaction
from aiplatform.identity import Identity, service_identity


def training_client(identity: Identity | None = None) -> TrainingClient:
    """Return the client for `training`."""
    return TrainingClient(service_client("training", identity))


def inference_client(identity: Identity | None = None) -> InferenceClient:
    """Return the client for `inference`."""
    return InferenceClient(service_client("inference", identity))


def monitoring_client(identity: Identity | None = None) -> MonitoringClient:
    """Return the client for `monitoring`."""
    return MonitoringClient(service_client("monitoring", identity))


def service_client(service: str, identity: Identity | None = None) -> ServiceClient:
    """Return a client for a service, on behalf of `identity` or of this process.

    Raises: InvalidConfigurationError if the service is neither here nor has an address.
    """
    return ServiceClient(
        service=service,
        client=_http_client(service),
        secret=settings.INTERNAL_SECRETS[0],
        identity=identity or service_identity("+".join(sorted(settings.ROLES))),
        timeout_s=settings.INTERNAL_TIMEOUT_S,
        guard=forbid_open_transaction,
        headers=outgoing_headers,
    )


def _http_client(service: str) -> httpx.Client:
    address = settings.SERVICE_URLS.get(service, "")
    if address:
        return _remote_client(address)
    if service not in settings.ROLES:
        raise InvalidConfigurationError(
            f"this process does not hold '{service}': set {service.upper()}_URL to where it is"
        )
    return in_process_client()


@functools.cache
def _remote_client(address: str) -> httpx.Client:
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30)
    addresses = split_addresses(address)
    transport: httpx.BaseTransport = httpx.HTTPTransport(limits=limits, trust_env=False)
    if len(addresses) > 1:
        transport = BalancedTransport(addresses, transport)
    return httpx.Client(base_url=addresses[0], transport=transport, trust_env=False)
