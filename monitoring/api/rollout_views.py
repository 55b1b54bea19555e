"""The public REST API of rollouts and of automation. Reading needs `monitor`, orders `admin`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.identity import Identity, Scope
from aiplatform.services import inference_client, training_client
from monitoring.actions.retraining import order_retraining
from monitoring.api import rollout_serializers as shapes
from monitoring.models.retrainings import Retraining
from monitoring.models.rollouts import AutomationHold, PromotionPolicy, Rollout
from monitoring.rollouts import holds, selectors, services
from monitoring.rollouts.timeline import build_timeline


@extend_schema_view(
    list=extend_schema(summary="List rollouts", description="Newest first, with their steps."),
    retrieve=extend_schema(summary="Show a rollout with its timeline", responses=shapes.RolloutDetailSerializer),
)
@extend_schema(tags=["rollouts"])
class RolloutViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Rollout]):
    """Rollouts: challengers on their way through the gates."""

    queryset = Rollout.objects.none()
    required_scope = Scope.ADMIN
    serializer_class = shapes.RolloutSerializer
    filterset_fields = ("endpoint", "state")
    ordering_fields = ("created_at", "ended_at", "endpoint")

    def get_queryset(self) -> Any:
        """Return all rollouts."""
        return selectors.list_rollouts()

    def get_serializer_class(self) -> Any:
        """Return the longer form for one rollout."""
        return shapes.RolloutSerializer if self.action == "list" else shapes.RolloutDetailSerializer

    @extend_schema(
        summary="Start a rollout",
        request=shapes.StartRolloutSerializer,
        responses={201: shapes.RolloutDetailSerializer},
    )
    def create(self, request: Request) -> Response:
        """Bring a challenger through the gates; a repeated key returns its rollout."""
        order = _validated(shapes.StartRolloutSerializer, request)
        rollout = services.start_rollout(
            overrides=order.pop("policy"), **order, actor=_actor(request), now=timezone.now(),
            inference=inference_client(), training=training_client(),
        )  # fmt: skip
        return Response(shapes.RolloutDetailSerializer(rollout).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Pause a rollout", request=None, responses=shapes.RolloutDetailSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Begin no further step; a bad verdict still leads back."""
        return self._order(request, pk, services.pause_rollout)

    @extend_schema(summary="Resume a rollout", request=None, responses=shapes.RolloutDetailSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Go on."""
        return self._order(request, pk, services.resume_rollout)

    @extend_schema(summary="Abort a rollout", request=None, responses=shapes.RolloutDetailSerializer)
    @action(detail=True, methods=["post"])
    def abort(self, request: Request, pk: str) -> Response:
        """Go back to the traffic before."""
        return self._order(request, pk, services.abort_rollout)

    @extend_schema(summary="Promote now", request=None, responses=shapes.RolloutDetailSerializer)
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, pk: str) -> Response:
        """Make the challenger champion without the gates that are left."""
        return self._order(request, pk, services.promote_rollout)

    def _order(self, request: Request, pk: str, give: Callable[..., Rollout]) -> Response:
        rollout = give(self.get_object().pk, actor=_actor(request), now=timezone.now())
        return Response(shapes.RolloutDetailSerializer(rollout).data)


@extend_schema_view(list=extend_schema(summary="List holds of automation", description="Newest first."))
@extend_schema(tags=["rollouts"])
class HoldViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[AutomationHold]):
    """Holds: a person has stopped all automation."""

    queryset = AutomationHold.objects.order_by("-placed_at")
    required_scope = Scope.ADMIN
    serializer_class = shapes.HoldSerializer

    @extend_schema(summary="Hold all automation", responses={201: shapes.HoldSerializer})
    def create(self, request: Request) -> Response:
        """Stop rollouts, actions and retrainings, everywhere or for one endpoint."""
        order = _validated(shapes.HoldSerializer, request)
        hold = holds.place_hold(endpoint=order["endpoint"], reason=order["reason"], actor=_actor(request))
        return Response(shapes.HoldSerializer(hold).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Lift a hold", request=None, responses=shapes.HoldSerializer)
    @action(detail=True, methods=["post"])
    def lift(self, request: Request, pk: str) -> Response:
        """Let automation go on."""
        hold = self.get_object()
        holds.lift_hold(endpoint=hold.endpoint, actor=_actor(request))
        hold.refresh_from_db()
        return Response(shapes.HoldSerializer(hold).data)


@extend_schema_view(
    list=extend_schema(summary="List promotion policies"), retrieve=extend_schema(summary="Show a promotion policy")
)
@extend_schema(tags=["rollouts"])
class PolicyViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[PromotionPolicy]
):
    """What is special for an endpoint's challengers."""

    queryset = PromotionPolicy.objects.order_by("endpoint")
    required_scope = Scope.ADMIN
    serializer_class = shapes.PromotionPolicySerializer
    lookup_field = "endpoint"
    lookup_value_regex = "[a-z0-9][a-z0-9._-]{0,62}"

    @extend_schema(
        summary="Set a promotion policy",
        request=shapes.SetPromotionPolicySerializer,
        responses=shapes.PromotionPolicySerializer,
    )
    def create(self, request: Request) -> Response:
        """Set what is special for an endpoint, instead of what was."""
        order = _validated(shapes.SetPromotionPolicySerializer, request)
        policy = services.set_policy(**order, actor=_actor(request))
        return Response(shapes.PromotionPolicySerializer(policy).data)


@extend_schema_view(list=extend_schema(summary="List retrainings"), retrieve=extend_schema(summary="Show a retraining"))
@extend_schema(tags=["rollouts"])
class RetrainingViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Retraining]):
    """Retrainings, from the order to the rollout of what came of it."""

    queryset = Retraining.objects.order_by("-created_at", "-pk")
    required_scope = Scope.ADMIN
    serializer_class = shapes.RetrainingSerializer
    filterset_fields = ("endpoint", "state")

    @extend_schema(
        summary="Order a retraining",
        request=shapes.OrderRetrainingSerializer,
        responses={201: shapes.RetrainingSerializer},
    )
    def create(self, request: Request) -> Response:
        """Retrain, and put the result up as challenger."""
        order = _validated(shapes.OrderRetrainingSerializer, request)
        order["key"] = order["key"] or f"order-{secrets.token_hex(8)}"
        row = order_retraining(**order, actor=_actor(request), inference=inference_client(), now=timezone.now())
        return Response(shapes.RetrainingSerializer(row).data, status=status.HTTP_201_CREATED)


class TimelineView(APIView):
    """All that happened to an endpoint."""

    required_scope = Scope.MONITOR

    @extend_schema(tags=["rollouts"], summary="Show an endpoint's timeline", responses=shapes.TimelineSerializer)
    def get(self, request: Request, endpoint: str) -> Response:
        """Return traffic, alerts, actions, trainings, rollouts and holds on one line of time."""
        found = build_timeline(endpoint, inference=inference_client(), training=training_client())
        return Response(shapes.TimelineSerializer(found).data)


def _validated(serializer_class: Any, request: Request) -> dict[str, Any]:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _actor(request: Request) -> str:
    return request.auth.username if isinstance(request.auth, Identity) else ""
