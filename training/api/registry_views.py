"""The public REST API of models, versions and aliases."""

from __future__ import annotations

import django_filters  # type: ignore[import-untyped]
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.identity import Scope
from training import registry, selectors
from training.api.caller import caller
from training.api.serializers import AliasOrderSerializer, AliasSerializer, ModelSerializer, VersionSerializer
from training.models import Alias, ModelVersion, RegisteredModel


class ModelFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Which models to list."""

    name = django_filters.CharFilter(lookup_expr="icontains")

    class Meta:
        model = RegisteredModel
        fields = ("name",)


class VersionFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Which versions to list."""

    class Meta:
        model = ModelVersion
        fields = ("framework", "task", "run")


class ModelList(generics.ListAPIView[RegisteredModel]):
    """Models that have a version."""

    required_scope = Scope.TRAIN
    serializer_class = ModelSerializer
    filterset_class = ModelFilter
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> QuerySet[RegisteredModel]:
        """Return the models."""
        return selectors.list_models()


class ModelDetail(APIView):
    """One model."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Show a model", responses=ModelSerializer, operation_id="training_models_retrieve")
    def get(self, request: Request, model: str) -> Response:
        """Answer a model with its aliases."""
        return Response(ModelSerializer(selectors.get_model(model)).data)

    @extend_schema(summary="Describe a model", request=ModelSerializer, responses=ModelSerializer)
    def patch(self, request: Request, model: str) -> Response:
        """Change the description."""
        found = selectors.get_model(model)
        fields = ModelSerializer(found, data=request.data, partial=True)
        fields.is_valid(raise_exception=True)
        text = fields.validated_data.get("description", found.description)
        changed = registry.describe_model(model_name=model, description=text, actor=caller(request).username)
        return Response(ModelSerializer(changed).data)


class VersionList(generics.ListAPIView[ModelVersion]):
    """The versions of a model, newest first."""

    required_scope = Scope.TRAIN
    serializer_class = VersionSerializer
    filterset_class = VersionFilter
    ordering_fields = ("version", "created_at")

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """Return the versions; NotFoundError for an unknown model."""
        if getattr(self, "swagger_fake_view", False):  # the schema is made without a model's name
            return ModelVersion.objects.none()
        selectors.get_model(self.kwargs["model"])
        return selectors.list_versions(self.kwargs["model"])


class VersionDetail(APIView):
    """One version."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Show a version", responses=VersionSerializer, operation_id="training_versions_retrieve")
    def get(self, request: Request, model: str, reference: str) -> Response:
        """Answer a version by number, alias or 'latest'."""
        return Response(VersionSerializer(selectors.get_version(model, reference)).data)


class AliasList(generics.ListAPIView[Alias]):
    """The aliases of a model."""

    required_scope = Scope.TRAIN
    serializer_class = AliasSerializer
    ordering_fields = ("name",)

    def get_queryset(self) -> QuerySet[Alias]:
        """Return the aliases; NotFoundError for an unknown model."""
        if getattr(self, "swagger_fake_view", False):
            return Alias.objects.none()
        selectors.get_model(self.kwargs["model"])
        return selectors.list_aliases(self.kwargs["model"])


class AliasDetail(APIView):
    """One alias."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Set or move an alias", request=AliasOrderSerializer, responses=AliasSerializer)
    def put(self, request: Request, model: str, alias: str) -> Response:
        """Point the alias at a version."""
        fields = AliasOrderSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        made = registry.set_alias(
            model_name=model, alias=alias, reference=fields.validated_data["reference"], actor=caller(request).username
        )
        return Response(AliasSerializer(made).data)

    @extend_schema(summary="Remove an alias", responses={204: None})
    def delete(self, request: Request, model: str, alias: str) -> Response:
        """Remove the alias; its version stays."""
        registry.remove_alias(model_name=model, alias=alias, actor=caller(request).username)
        return Response(status=status.HTTP_204_NO_CONTENT)
