"""What finds a service's addresses. `static` reads settings; DNS and Kubernetes fit the same form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aiplatform.http.addresses import split_addresses


class Discovery(Protocol):
    """Finds addresses. Asked by the background loop only, so it may be slow, and may block."""

    def find_addresses(self, service: str) -> tuple[str, ...]:
        """Return the service's addresses (scheme://host:port) as known now.

        Raises: OSError if they cannot be found out; the last known ones then stay.
        """
        ...


class StaticDiscovery:
    """The addresses in TRAINING_URL, INFERENCE_URL and MONITORING_URL, separated by commas."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._addresses = {service: split_addresses(text) for service, text in urls.items()}

    def find_addresses(self, service: str) -> tuple[str, ...]:
        """Return the addresses in the setting."""
        return self._addresses.get(service, ())
