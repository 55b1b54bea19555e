"""The public REST API of alerts. Reading and handling alerts needs `monitor`; rules and channels `admin`."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from aiplatform.errors import PlatformError
from aiplatform.identity import Identity, Scope
from monitoring.alerts import marks, selectors, silences
from monitoring.alerts.channels import send_test_message
from monitoring.alerts.notifications import retry_notification
from monitoring.alerts.preview import preview_message
from monitoring.alerts.prometheus import export_rules
from monitoring.alerts.trial import run_trial
from monitoring.alerts.wire import past
from monitoring.api import alert_filters as filters
from monitoring.api import alert_serializers as shapes
from monitoring.api.trial_serializers import PreviewSerializer, TrialSerializer
from monitoring.models.alerts import Alert, AlertRule, Channel, Notification, Silence


def _username(request: Request) -> str:
    return request.auth.username if isinstance(request.auth, Identity) else ""


@extend_schema_view(
    list=extend_schema(summary="List alerts", description="Firing first, then pending; the worst, then the newest."),
    retrieve=extend_schema(summary="Show an alert with its timeline", responses=shapes.AlertDetailSerializer),
)
@extend_schema(tags=["alerts"])
class AlertViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Alert]):
    """Alerts, and what people do to them."""

    queryset = Alert.objects.none()
    required_scope = Scope.MONITOR
    serializer_class = shapes.AlertSerializer
    filterset_class = filters.AlertFilter
    ordering_fields = ("started_at", "fired_at", "resolved_at", "severity", "endpoint", "version")

    def get_queryset(self) -> Any:
        """Return all alerts in the order of their urgency."""
        return selectors.list_alerts()

    def get_serializer_class(self) -> type[BaseSerializer[Alert]]:
        """Return the longer form for a single alert."""
        return shapes.AlertSerializer if self.action == "list" else shapes.AlertDetailSerializer

    @extend_schema(
        summary="Acknowledge an alert", request=shapes.NoteSerializer, responses=shapes.AlertDetailSerializer
    )
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str | None = None) -> Response:
        """Take an alert on: it is not repeated."""
        form = shapes.NoteSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        note = form.validated_data["note"]
        alert = marks.acknowledge_alert(self.get_object(), by=_username(request), note=note, now=timezone.now())
        return Response(shapes.AlertDetailSerializer(alert).data)

    @extend_schema(summary="Resolve an alert", request=shapes.NoteSerializer, responses=shapes.AlertDetailSerializer)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str | None = None) -> Response:
        """End an alert by hand; it comes back if its condition still holds."""
        form = shapes.NoteSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        note = form.validated_data["note"]
        alert = marks.resolve_alert(self.get_object(), by=_username(request), note=note, now=timezone.now())
        return Response(shapes.AlertDetailSerializer(alert).data)

    @extend_schema(
        summary="Silence an alert's rule on its endpoint",
        request=shapes.SilenceAlertSerializer,
        responses={201: shapes.SilenceSerializer},
    )
    @action(detail=True, methods=["post"])
    def silence(self, request: Request, pk: str | None = None) -> Response:
        """Silence the alert's rule on its endpoint for a time."""
        form = shapes.SilenceAlertSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        now = timezone.now()
        silence = silences.silence_alert(self.get_object(), by=_username(request), now=now, **form.validated_data)
        return Response(shapes.SilenceSerializer(silence).data, status=status.HTTP_201_CREATED)


@extend_schema_view(
    list=extend_schema(summary="List alert rules"),
    retrieve=extend_schema(summary="Show an alert rule"),
    create=extend_schema(summary="Make an alert rule"),
    update=extend_schema(summary="Replace an alert rule"),
    partial_update=extend_schema(summary="Change an alert rule"),
    destroy=extend_schema(summary="Delete an alert rule", description="Its active alerts resolve; old ones are kept."),
)
@extend_schema(tags=["alerts"])
class RuleViewSet(viewsets.ModelViewSet[AlertRule]):
    """Rules: what must not happen, and what follows if it does."""

    queryset = AlertRule.objects.none()
    required_scope = Scope.ADMIN
    serializer_class = shapes.RuleSerializer
    filterset_class = filters.RuleFilter
    ordering_fields = ("name", "severity", "created_at")

    def get_queryset(self) -> Any:
        """Return all rules."""
        return selectors.list_rules()

    @extend_schema(
        summary="Test a rule on the last week", request=None, responses=TrialSerializer,
        description="What it would have done, from the stored windows: states, firings, messages. Nothing is sent.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str | None = None) -> Response:
        """Return what a stored rule would have done."""
        return Response(TrialSerializer(run_trial(self.get_object(), past(), now=timezone.now())).data)

    @extend_schema(
        operation_id="rules_test_draft",
        summary="Test a rule that is not stored",
        request=shapes.RuleSerializer,
        responses={200: TrialSerializer},
    )
    @action(detail=False, methods=["post"], url_path="test")
    def test_draft(self, request: Request) -> Response:
        """Return what a rule would have done, before it is made. Channels and quiet hours are not regarded."""
        form = shapes.RuleSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        fields = {k: v for k, v in form.validated_data.items() if k not in ("channels", "quiet_hours")}
        return Response(TrialSerializer(run_trial(AlertRule(**fields), past(), now=timezone.now())).data)

    @extend_schema(
        summary="Export the rules for Prometheus", responses={(200, "text/plain"): str}, filters=False,
        description="A rule file. Comments name the rules that were left out, and why.",
    )  # fmt: skip
    @action(detail=False, methods=["get"], url_path="prometheus", filter_backends=[], pagination_class=None)
    def prometheus(self, request: Request) -> HttpResponse:
        """Return the enabled rules as a Prometheus rule file."""
        return HttpResponse(export_rules(selectors.list_rules()), content_type="text/plain; charset=utf-8")

    @extend_schema(summary="Show what a rule watches", responses=shapes.RuleTargetSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], filter_backends=[])
    def targets(self, request: Request, pk: str | None = None) -> Response:
        """List each endpoint version that the rule watches, with what was found last."""
        targets: Any = selectors.list_rule_targets(self.get_object())
        page: Any = self.paginate_queryset(targets)
        return self.get_paginated_response(shapes.RuleTargetSerializer(page, many=True).data)


@extend_schema_view(
    list=extend_schema(summary="List channels"),
    retrieve=extend_schema(summary="Show a channel"),
    create=extend_schema(summary="Make a channel"),
    update=extend_schema(summary="Replace a channel"),
    partial_update=extend_schema(summary="Change a channel"),
    destroy=extend_schema(summary="Delete a channel"),
)
@extend_schema(tags=["alerts"])
class ChannelViewSet(viewsets.ModelViewSet[Channel]):
    """Channels: where notifications go."""

    queryset = Channel.objects.none()
    required_scope = Scope.ADMIN
    serializer_class = shapes.ChannelSerializer
    filterset_fields = ("name", "is_enabled", "is_default")
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> Any:
        """Return all channels."""
        return selectors.list_channels()

    @extend_schema(summary="Preview a channel's templates", request=PreviewSerializer, responses=PreviewSerializer)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Return the message of an invented group of alerts in the given form."""
        form = PreviewSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        fields = form.validated_data
        message = preview_message(fields["title_template"], fields["body_template"])
        return Response({**fields, "title": message.title, "body": message.body, "problem": message.problem})

    @extend_schema(summary="Send a test message", request=None, responses=shapes.ChannelTestSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str | None = None) -> Response:
        """Send a test message now, and say what became of it."""
        try:
            send_test_message(self.get_object(), by=_username(request), now=timezone.now())
        except PlatformError as error:
            return Response({"delivered": False, "error": error.message})
        return Response({"delivered": True, "error": ""})


@extend_schema_view(
    list=extend_schema(summary="List silences"),
    retrieve=extend_schema(summary="Show a silence"),
    create=extend_schema(summary="Make a silence"),
)
@extend_schema(tags=["alerts"])
class SilenceViewSet(
    mixins.CreateModelMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Silence]
):
    """Silences: when nobody is to be disturbed by what."""

    queryset = Silence.objects.none()
    required_scope = Scope.MONITOR
    serializer_class = shapes.SilenceSerializer
    filterset_class = filters.SilenceFilter
    ordering_fields = ("starts_at", "ends_at")

    def get_queryset(self) -> Any:
        """Return all silences."""
        return selectors.list_silences()

    def perform_create(self, serializer: BaseSerializer[Silence]) -> None:
        """Make the silence, in the caller's name."""
        now = timezone.now()
        fields = {"starts_at": now, **serializer.validated_data}
        serializer.instance = silences.create_silence(created_by=_username(self.request), now=now, **fields)

    @extend_schema(summary="End a silence now", request=None, responses=shapes.SilenceSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str | None = None) -> Response:
        """End a silence before its time."""
        silence = silences.end_silence(self.get_object(), by=_username(request), now=timezone.now())
        return Response(self.get_serializer(silence).data)


@extend_schema_view(
    list=extend_schema(summary="List notifications"),
    retrieve=extend_schema(summary="Show a notification"),
)
@extend_schema(tags=["alerts"])
class NotificationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Notification]):
    """Notifications: what was sent where, what failed, and why."""

    queryset = Notification.objects.none()
    required_scope = Scope.MONITOR
    serializer_class = shapes.NotificationSerializer
    filterset_class = filters.NotificationFilter
    ordering_fields = ("created_at", "sent_at")

    def get_queryset(self) -> Any:
        """Return all notifications."""
        return selectors.list_notifications()

    @extend_schema(summary="Try a failed notification again", request=None, responses=shapes.NotificationSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str | None = None) -> Response:
        """Give a failed or cancelled notification all its attempts again."""
        notification = self.get_object()
        retry_notification(notification, now=timezone.now())
        notification.refresh_from_db()
        return Response(self.get_serializer(notification).data)
