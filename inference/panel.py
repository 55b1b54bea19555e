"""The endpoints on the console's home page: what is served, and whether it is well."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse

from aiplatform.contracts.inference import EndpointInfo, ReplicaState
from inference.selectors import list_endpoints


def endpoints_panel() -> dict[str, Any]:
    """Return the panel's context."""
    endpoints = list_endpoints()
    return {
        "endpoints": [describe_for_people(endpoint) for endpoint in endpoints],
        "ready": sum(endpoint.is_ready for endpoint in endpoints),
        "list_url": _url("admin:inference_endpoint_changelist"),
    }


def describe_for_people(endpoint: EndpointInfo) -> dict[str, Any]:
    """Return an endpoint as pages and commands show it."""
    failed = [replica for replica in endpoint.replicas if replica.state is ReplicaState.FAILED]
    state = health_state(endpoint)
    return {
        "name": endpoint.name,
        "model": endpoint.model,
        "generation": endpoint.generation,
        "state": state,
        "replica_count": len({replica.replica for replica in endpoint.replicas}),
        "traffic": [
            {"version": s.version, "weight": s.weight, "report_url": report_url(endpoint.name, s.version)}
            for s in endpoint.traffic
        ],
        "problems": sorted({f"version {replica.version}: {replica.message}" for replica in failed}),
        "url": _url("admin:inference_endpoint_detail", endpoint.name),
    }


def health_state(endpoint: EndpointInfo) -> str:
    """Return one word: ready, loading, failed, off, or not served at all."""
    states = {replica.state for replica in endpoint.replicas}
    if endpoint.is_off:
        return "off"
    if ReplicaState.FAILED in states:
        return "failed"
    if endpoint.is_ready:
        return "ready"
    return "loading" if ReplicaState.LOADING in states else "not served"


def report_url(endpoint: str, version: int) -> str:
    """Return where monitoring shows how a version does."""
    return f"/admin/monitoring/report/{endpoint}/{version}/"


def _url(name: str, *arguments: Any) -> str:
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return ""  # this process has no console
