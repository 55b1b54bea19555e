"""The internal contract, as `aiplatform/contracts/inference.py` states it."""

from __future__ import annotations

from django.http import HttpRequest

from aiplatform.contracts.inference import (
    CompileVersion,
    DeployVersion,
    EndpointInfo,
    EndpointList,
    EngineReports,
    Predictions,
    PredictRows,
    RollBackEndpoint,
)
from aiplatform.http.views import internal_view, read_message
from inference import engine_reports, selectors, services


@internal_view
def deploy(request: HttpRequest) -> EndpointInfo:
    """Change the desired state."""
    order = read_message(request, DeployVersion)
    return services.deploy_version(
        endpoint=order.endpoint,
        model=order.model,
        reference=order.reference,
        traffic=order.traffic,
        engine=order.engine,
        actor=order.actor or _caller(request),
        reason=order.reason,
    )


@internal_view
def rollback(request: HttpRequest) -> EndpointInfo:
    """Return to the previous traffic."""
    order = read_message(request, RollBackEndpoint)
    return services.roll_back_endpoint(
        endpoint=order.endpoint,
        actor=order.actor or _caller(request),
        reason=order.reason,
        idempotency_key=order.idempotency_key,
        from_version=order.from_version,
    )


@internal_view
def endpoint(request: HttpRequest, name: str) -> EndpointInfo:
    """Return one endpoint."""
    return selectors.get_endpoint(name)


@internal_view
def endpoints(request: HttpRequest) -> EndpointList:
    """Return all endpoints."""
    return EndpointList(endpoints=tuple(selectors.list_endpoints()))


@internal_view
def compile_version(request: HttpRequest) -> EngineReports:
    """Begin to compile a version."""
    return engine_reports.order_compilation(read_message(request, CompileVersion))


@internal_view
def engines(request: HttpRequest, digest: str) -> EngineReports:
    """Return how the engines did with an artifact."""
    return engine_reports.report_engines(digest)


@internal_view
def predict(request: HttpRequest) -> Predictions:
    """Predict through the queue, the engine and the recording of this process."""
    from inference.serving import runtime  # only a process that is asked to predict loads the data plane

    return runtime().service.predict_rows(read_message(request, PredictRows))


def _caller(request: HttpRequest) -> str:
    return str(request.platform_identity.username)  # type: ignore[attr-defined]
