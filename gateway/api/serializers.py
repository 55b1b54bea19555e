"""Tokens and audit records as the REST API shows and takes them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aiplatform.identity import Scope
from gateway.models import AuditRecord, Token


class TokenSerializer(serializers.ModelSerializer[Token]):
    """A token without its secret."""

    user = serializers.CharField(source="user.username")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=[s.value for s in Scope]))
    begins_with = serializers.CharField(source="token_key", help_text="The first characters, to recognise it by")
    created_at = serializers.DateTimeField(source="created")
    expires_at = serializers.DateTimeField(source="expiry", allow_null=True)
    is_usable = serializers.BooleanField()

    class Meta:
        model = Token
        fields = (
            "id", "name", "user", "scopes", "begins_with", "created_at", "expires_at", "revoked_at",
            "last_used_at", "predict_rate", "api_rate", "is_usable",
        )  # fmt: skip
        read_only_fields = fields


class CreateTokenSerializer(serializers.Serializer[Any]):
    """What makes a token. Without `user` it is for the caller; without `expires_in_s` it never expires."""

    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=[s.value for s in Scope]), allow_empty=False)
    user = serializers.CharField(required=False, default="")
    expires_in_s = serializers.IntegerField(required=False, min_value=1, max_value=315_360_000, allow_null=True)
    predict_rate = serializers.CharField(required=False, default="", allow_blank=True)
    api_rate = serializers.CharField(required=False, default="", allow_blank=True)


class CreatedTokenSerializer(TokenSerializer):
    """A new token with its secret, which is shown here and never again."""

    token = serializers.SerializerMethodField()

    class Meta:
        model = Token
        fields = (*TokenSerializer.Meta.fields, "token")
        read_only_fields = fields

    @extend_schema_field(serializers.CharField())
    def get_token(self, token: Token) -> str:
        """Return the secret that the view passed along."""
        return str(self.context["secret"])


class AuditRecordSerializer(serializers.ModelSerializer[AuditRecord]):
    """One change."""

    class Meta:
        model = AuditRecord
        fields = (
            "id", "time", "actor", "token_id", "action", "object", "before", "after", "http_status", "request_id",
        )  # fmt: skip
        read_only_fields = fields
