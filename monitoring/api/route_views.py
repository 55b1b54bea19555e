"""The public REST API of routes, inhibitions, quiet hours and groups. Writing needs `admin`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, viewsets

from aiplatform.errors import ConflictError
from aiplatform.identity import Scope
from monitoring.alerts import selectors
from monitoring.api import route_serializers as shapes
from monitoring.models.alerts import AlertGroup, Inhibition, QuietHours, Route


@extend_schema_view(
    list=extend_schema(
        summary="List routes", description="In the order in which they are asked; the default one last."
    ),
    retrieve=extend_schema(summary="Show a route"),
    create=extend_schema(summary="Make a route"),
    update=extend_schema(summary="Replace a route"),
    partial_update=extend_schema(summary="Change a route"),
    destroy=extend_schema(summary="Delete a route"),
)
@extend_schema(tags=["alerts"])
class RouteViewSet(viewsets.ModelViewSet[Route]):
    """Routes: which alerts are told together, when, and to whom."""

    queryset = Route.objects.none()
    required_scope = Scope.ADMIN
    serializer_class = shapes.RouteSerializer
    filterset_fields = ("name", "is_default")

    def get_queryset(self) -> Any:
        """Return all routes."""
        return selectors.list_routes()

    def perform_destroy(self, instance: Route) -> None:
        """Delete a route, but not the default one."""
        if instance.is_default:
            raise ConflictError("the default route takes what no other takes; it cannot be deleted")
        instance.delete()


@extend_schema_view(
    list=extend_schema(summary="List inhibitions"),
    retrieve=extend_schema(summary="Show an inhibition"),
    create=extend_schema(summary="Make an inhibition"),
    update=extend_schema(summary="Replace an inhibition"),
    partial_update=extend_schema(summary="Change an inhibition"),
    destroy=extend_schema(summary="Delete an inhibition"),
)
@extend_schema(tags=["alerts"])
class InhibitionViewSet(viewsets.ModelViewSet[Inhibition]):
    """Inhibitions: which alerts add nothing while which others fire."""

    queryset = Inhibition.objects.none()
    required_scope = Scope.ADMIN
    serializer_class = shapes.InhibitionSerializer
    filterset_fields = ("name", "is_enabled")

    def get_queryset(self) -> Any:
        """Return all inhibitions."""
        return selectors.list_inhibitions()


@extend_schema_view(
    list=extend_schema(summary="List quiet hours"),
    retrieve=extend_schema(summary="Show quiet hours"),
    create=extend_schema(summary="Make quiet hours"),
    update=extend_schema(summary="Replace quiet hours"),
    partial_update=extend_schema(summary="Change quiet hours"),
    destroy=extend_schema(summary="Delete quiet hours"),
)
@extend_schema(tags=["alerts"])
class QuietHoursViewSet(viewsets.ModelViewSet[QuietHours]):
    """Quiet hours: times of the week in which rules are muted or paused."""

    queryset = QuietHours.objects.none()
    required_scope = Scope.ADMIN
    serializer_class = shapes.QuietHoursSerializer
    filterset_fields = ("name", "effect")

    def get_queryset(self) -> Any:
        """Return all quiet hours."""
        return selectors.list_quiet_hours()


@extend_schema_view(
    list=extend_schema(summary="List groups of alerts", description="Those with alerts in them first."),
    retrieve=extend_schema(summary="Show a group of alerts"),
)
@extend_schema(tags=["alerts"])
class GroupViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[AlertGroup]):
    """Groups: alerts that are told together, and what was told of each."""

    queryset = AlertGroup.objects.none()
    required_scope = Scope.MONITOR
    serializer_class = shapes.GroupSerializer
    filterset_fields = ("route",)

    def get_queryset(self) -> Any:
        """Return all groups."""
        return selectors.list_groups()
