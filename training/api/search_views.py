"""The public REST API of hyperparameter searches."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.identity import Scope
from training import selectors
from training.api.caller import caller
from training.api.serializers import (
    RunSerializer,
    SearchOrderSerializer,
    SearchRegisterSerializer,
    SearchResumeSerializer,
    SearchSerializer,
)
from training.models import Search
from training.resources.asking import ResourceOrder, split_resources
from training.searching.orders import SearchOrder, cancel_search, create_search, register_winner, resume_search


class SearchList(generics.ListAPIView[Search]):
    """Searches, newest first; POST begins one."""

    required_scope = Scope.TRAIN
    serializer_class: Any = SearchSerializer
    filterset_fields = ("state", "model_name", "recipe")

    def get_queryset(self) -> QuerySet[Search]:
        """Return the searches."""
        return selectors.list_searches()

    @extend_schema(summary="Begin a search", request=SearchOrderSerializer, responses={201: SearchSerializer})
    def post(self, request: Request) -> Response:
        """Check the order and begin the search."""
        fields = SearchOrderSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        given, resources = split_resources(fields.validated_data)
        order = SearchOrder(**given, resources=ResourceOrder(**resources), actor=caller(request).username)
        return Response(SearchSerializer(create_search(order)).data, status=status.HTTP_201_CREATED)


class SearchDetail(APIView):
    """One search."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Show a search", responses=SearchSerializer, operation_id="training_searches_retrieve")
    def get(self, request: Request, search_id: str) -> Response:
        """Answer a search with its trials."""
        return Response(SearchSerializer(selectors.get_search(search_id)).data)


class SearchCancel(APIView):
    """End a search."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Cancel a search and its trials", request=None, responses=SearchSerializer)
    def post(self, request: Request, search_id: str) -> Response:
        """Order no further trial and cancel those that run."""
        search = cancel_search(selectors.get_search(search_id), actor=caller(request).username)
        return Response(SearchSerializer(search).data)


class SearchResume(APIView):
    """Go on with a search that has ended."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Resume a search", request=SearchResumeSerializer, responses=SearchSerializer)
    def post(self, request: Request, search_id: str) -> Response:
        """Go on, up to so many trials altogether."""
        fields = SearchResumeSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        search = resume_search(
            selectors.get_search(search_id), trials=fields.validated_data.get("trials"), actor=caller(request).username
        )
        return Response(SearchSerializer(search).data)


class SearchRegister(APIView):
    """Have the winner registered."""

    required_scope = Scope.TRAIN

    @extend_schema(summary="Register the best trial's model", request=SearchRegisterSerializer, responses=RunSerializer)
    def post(self, request: Request, search_id: str) -> Response:
        """Queue the best trial's run again, to write its model; answer the run."""
        fields = SearchRegisterSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        search = selectors.get_search(search_id)
        run = register_winner(search, **fields.validated_data, actor=caller(request).username)
        return Response(RunSerializer(run).data)
