"""The internal contract, as `aiplatform/contracts/inference.py` states it."""

from __future__ import annotations

from django.http import HttpRequest

from aiplatform.contracts.engines import CompileVersion, EngineReports
from aiplatform.contracts.inference import (
    DeployVersion,
    EndpointHistory,
    EndpointInfo,
    EndpointList,
    FreezeEndpoint,
    OrderReceipt,
    OrderReplay,
    Predictions,
    PredictRows,
    ReplayReport,
    RollBackEndpoint,
    SetShadow,
    SetTraffic,
    SwitchEndpoint,
)
from aiplatform.http.views import internal_view, read_message
from inference import controls, engine_reports, selectors, services
from inference.replay import orders as replays


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
def traffic(request: HttpRequest) -> OrderReceipt:
    """Change the split."""
    return services.order_traffic(read_message(request, SetTraffic))


@internal_view
def shadow(request: HttpRequest) -> OrderReceipt:
    """Begin or end the shadow."""
    return controls.set_shadow(read_message(request, SetShadow))


@internal_view
def switch(request: HttpRequest) -> OrderReceipt:
    """Switch an endpoint off or on."""
    return controls.switch_endpoint(read_message(request, SwitchEndpoint))


@internal_view
def freeze(request: HttpRequest) -> OrderReceipt:
    """Freeze an endpoint's traffic, or lift that."""
    return controls.freeze_endpoint(read_message(request, FreezeEndpoint))


@internal_view
def order_replay(request: HttpRequest) -> ReplayReport:
    """Queue a replay."""
    return replays.order_replay(read_message(request, OrderReplay))


@internal_view
def replay(request: HttpRequest, key: str) -> ReplayReport:
    """Return how far a replay is."""
    return replays.get_replay(key)


@internal_view
def endpoint(request: HttpRequest, name: str) -> EndpointInfo:
    """Return one endpoint."""
    return selectors.get_endpoint(name)


@internal_view
def history(request: HttpRequest, name: str) -> EndpointHistory:
    """Return an endpoint's latest changes."""
    return selectors.get_history(name)


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
