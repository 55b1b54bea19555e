"""The public REST API of endpoints: parse, call, encode."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from aiplatform.contracts.inference import FreezeEndpoint, SetShadow, SwitchEndpoint
from aiplatform.identity import Identity, Scope
from inference import controls, selectors, services
from inference.api.filters import EndpointFilter
from inference.api.serializers import (
    DeployOrderSerializer,
    EndpointSerializer,
    ReasonSerializer,
    RevisionSerializer,
    RollBackOrderSerializer,
    ShadowOrderSerializer,
    TrafficOrderSerializer,
    read_shares,
)
from inference.models import NAME_PATTERN, Endpoint


class EndpointViewSet(viewsets.GenericViewSet[Endpoint]):
    """Endpoints: public names of models, with a traffic split over versions."""

    required_scope = Scope.ADMIN
    queryset = selectors.list_endpoint_rows()
    serializer_class = EndpointSerializer
    filterset_class = EndpointFilter
    ordering_fields = ("name", "model", "generation", "updated_at")
    lookup_field = "name"
    lookup_value_regex = NAME_PATTERN

    @extend_schema(summary="List endpoints", responses=EndpointSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List endpoints with their desired and real state."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        described = selectors.describe_endpoints(page or [])
        return self.get_paginated_response(EndpointSerializer(described, many=True).data)

    @extend_schema(summary="Get an endpoint", responses=EndpointSerializer, filters=False)
    def retrieve(self, request: Request, name: str) -> Response:
        """Return one endpoint."""
        return Response(EndpointSerializer(selectors.get_endpoint(name)).data)

    @extend_schema(
        summary="Delete an endpoint", request=None, responses={204: OpenApiResponse(description="No longer served")}
    )
    def destroy(self, request: Request, name: str) -> Response:
        """Stop serving an endpoint; its history stays."""
        services.delete_endpoint(endpoint=name, actor=_actor(request))
        return Response(status=204)

    @extend_schema(
        summary="Deploy a version", request=DeployOrderSerializer, responses=EndpointSerializer, filters=False
    )
    @action(detail=True, methods=["post"])
    def deploy(self, request: Request, name: str) -> Response:
        """Serve a version; makes the endpoint if it is new. Replicas follow within seconds."""
        order = _validated(DeployOrderSerializer, request)
        info = services.deploy_version(
            endpoint=name,
            model=order["model"],
            reference=order["reference"],
            traffic=read_shares(order.get("traffic") or []),
            engine=order["engine"],
            actor=_actor(request),
            reason=order["reason"],
        )
        return Response(EndpointSerializer(info).data)

    @extend_schema(
        summary="Set the traffic split", request=TrafficOrderSerializer, responses=EndpointSerializer, filters=False
    )
    @action(detail=True, methods=["post"])
    def traffic(self, request: Request, name: str) -> Response:
        """Share the requests between versions of the endpoint's model."""
        order = _validated(TrafficOrderSerializer, request)
        info = services.set_traffic(
            endpoint=name, traffic=read_shares(order["traffic"]), actor=_actor(request), reason=order["reason"]
        )
        return Response(EndpointSerializer(info).data)

    @extend_schema(summary="Roll back", request=RollBackOrderSerializer, responses=EndpointSerializer, filters=False)
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, name: str) -> Response:
        """Return to the traffic before the present one; safe to repeat with an idempotency key."""
        order = _validated(RollBackOrderSerializer, request)
        info = services.roll_back_endpoint(
            endpoint=name,
            actor=_actor(request),
            reason=order["reason"],
            idempotency_key=order["idempotency_key"],
            from_version=order["from_version"],
        )
        return Response(EndpointSerializer(info).data)

    @extend_schema(summary="Switch off", request=ReasonSerializer, responses=EndpointSerializer, filters=False)
    @action(detail=True, methods=["post"], url_path="switch-off")
    def switch_off(self, request: Request, name: str) -> Response:
        """Answer 503 with the reason from now on; versions stay loaded."""
        return self._switch(request, name, is_on=False)

    @extend_schema(summary="Switch on", request=ReasonSerializer, responses=EndpointSerializer, filters=False)
    @action(detail=True, methods=["post"], url_path="switch-on")
    def switch_on(self, request: Request, name: str) -> Response:
        """Serve again as before."""
        return self._switch(request, name, is_on=True)

    @extend_schema(summary="Freeze", request=ReasonSerializer, responses=EndpointSerializer, filters=False)
    @action(detail=True, methods=["post"])
    def freeze(self, request: Request, name: str) -> Response:
        """Refuse new deployments and splits; a rollback stays possible."""
        return self._freeze(request, name, is_frozen=True)

    @extend_schema(summary="Lift a freeze", request=ReasonSerializer, responses=EndpointSerializer, filters=False)
    @action(detail=True, methods=["post"])
    def unfreeze(self, request: Request, name: str) -> Response:
        """Allow deployments and splits again."""
        return self._freeze(request, name, is_frozen=False)

    @extend_schema(summary="Set the shadow", request=ShadowOrderSerializer, responses=EndpointSerializer, filters=False)
    @action(detail=True, methods=["post"])
    def shadow(self, request: Request, name: str) -> Response:
        """Send copies of live requests to a version, or end that; its answers are compared, never returned."""
        order = _validated(ShadowOrderSerializer, request)
        done = controls.set_shadow(SetShadow(endpoint=name, actor=_actor(request), **order))
        return Response(EndpointSerializer(done.endpoint).data)

    def _switch(self, request: Request, name: str, *, is_on: bool) -> Response:
        order = _validated(ReasonSerializer, request)
        done = controls.switch_endpoint(SwitchEndpoint(endpoint=name, is_on=is_on, actor=_actor(request), **order))
        return Response(EndpointSerializer(done.endpoint).data)

    def _freeze(self, request: Request, name: str, *, is_frozen: bool) -> Response:
        order = _validated(ReasonSerializer, request)
        done = controls.freeze_endpoint(
            FreezeEndpoint(endpoint=name, is_frozen=is_frozen, actor=_actor(request), **order)
        )
        return Response(EndpointSerializer(done.endpoint).data)

    @extend_schema(summary="History of an endpoint", responses=RevisionSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], filterset_class=None)
    def history(self, request: Request, name: str) -> Response:
        """List the changes of an endpoint, newest first; also of a deleted one."""
        revisions: Any = selectors.list_revisions(name)  # the view's own rows are endpoints
        page: Any = self.paginate_queryset(revisions)
        return self.get_paginated_response(RevisionSerializer(page, many=True).data)


def _validated(serializer_class: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _actor(request: Request) -> str:
    identity = request.auth
    return identity.username if isinstance(identity, Identity) else ""
