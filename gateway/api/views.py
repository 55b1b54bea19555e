"""The REST API of tokens and of the audit log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response

from aiplatform.context import current_request_id
from aiplatform.identity import Identity, Scope
from gateway.api.permissions import IsAdmin
from gateway.api.serializers import (
    AuditRecordSerializer,
    CreatedTokenSerializer,
    CreateTokenSerializer,
    TokenSerializer,
)
from gateway.models import AuditRecord, Token
from gateway.selectors import get_token, list_audit_records, list_tokens
from gateway.services import create_token, revoke_token


class TokenListView(generics.ListAPIView[Token]):
    """All tokens, and making one."""

    required_scope = Scope.ADMIN
    permission_classes = [IsAdmin]
    serializer_class = TokenSerializer
    queryset = list_tokens()
    filterset_fields = ["name", "user__username"]
    ordering_fields = ["created", "expiry", "last_used_at"]

    @extend_schema(request=CreateTokenSerializer, responses={201: CreatedTokenSerializer})
    def post(self, request: Request) -> Response:
        """Make a token; `token` in the answer is its secret, shown this once."""
        wanted = CreateTokenSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        values: dict[str, Any] = wanted.validated_data
        seconds = values.get("expires_in_s")
        token, secret = create_token(
            username=values["user"] or _caller(request),
            name=values["name"],
            scopes=values["scopes"],
            expires_in=timedelta(seconds=seconds) if seconds else None,
            predict_rate=values["predict_rate"],
            api_rate=values["api_rate"],
            actor=_caller(request),
            request_id=current_request_id(),
        )
        body = CreatedTokenSerializer(token, context={"secret": secret}).data
        return Response(body, status=status.HTTP_201_CREATED)


class TokenView(generics.GenericAPIView[Token]):
    """One token, and revoking it."""

    required_scope = Scope.ADMIN
    permission_classes = [IsAdmin]
    serializer_class = TokenSerializer
    queryset = list_tokens()

    def get(self, request: Request, pk: int) -> Response:
        """Show a token, without its secret."""
        return Response(TokenSerializer(get_token(pk)).data)

    @extend_schema(responses={200: OpenApiResponse(TokenSerializer, description="The token, revoked")})
    def delete(self, request: Request, pk: int) -> Response:
        """Revoke a token: at once here, within 5 s in every gateway process."""
        token = revoke_token(token_id=pk, actor=_caller(request), request_id=current_request_id())
        return Response(TokenSerializer(token).data)


class AuditListView(generics.ListAPIView[AuditRecord]):
    """The audit log, newest first."""

    required_scope = Scope.ADMIN
    permission_classes = [IsAdmin]
    serializer_class = AuditRecordSerializer
    queryset = list_audit_records()
    filterset_fields = {
        "actor": ["exact"],
        "action": ["exact"],
        "object": ["exact", "startswith"],
        "request_id": ["exact"],
        "time": ["gte", "lte"],
    }
    ordering_fields = ["time"]


def _caller(request: Request) -> str:
    return request.auth.username if isinstance(request.auth, Identity) else str(request.user)
