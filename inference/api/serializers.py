"""The public REST API's shapes of endpoints and orders."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from aiplatform.contracts.inference import ReplicaState, TrafficShare
from inference.models import EndpointRevision


class TrafficShareSerializer(serializers.Serializer[Any]):
    """One version's share of an endpoint's requests."""

    version = serializers.IntegerField(min_value=1)
    weight = serializers.IntegerField(min_value=0, max_value=100, help_text="Percent; all shares add up to 100")


class ReplicaSerializer(serializers.Serializer[Any]):
    """What one serving process says of one version."""

    replica = serializers.CharField()
    version = serializers.IntegerField()
    state = serializers.ChoiceField(choices=[state.value for state in ReplicaState])
    message = serializers.CharField(allow_blank=True)
    engine = serializers.CharField(allow_blank=True, help_text="What runs the version in this process")


class ImageInputSerializer(serializers.Serializer[Any]):
    """How an image becomes the input tensor."""

    height = serializers.IntegerField()
    width = serializers.IntegerField()
    channels = serializers.IntegerField()
    low = serializers.FloatField(help_text="The value of black")
    high = serializers.FloatField(help_text="The value of white")


class EndpointSerializer(serializers.Serializer[Any]):
    """An endpoint with its desired and its real state."""

    name = serializers.CharField()
    model = serializers.CharField()
    generation = serializers.IntegerField(help_text="Grows with each change of the desired state")
    traffic = TrafficShareSerializer(many=True)
    replicas = ReplicaSerializer(many=True)
    is_ready = serializers.BooleanField(help_text="A live replica serves every version that has traffic")
    labels = serializers.ListField(child=serializers.CharField(), help_text="Class labels of the main version")
    image = ImageInputSerializer(allow_null=True)
    engine = serializers.CharField(allow_blank=True, help_text="The engine that is pinned; empty: none")
    traffic_generation = serializers.IntegerField(help_text="The generation of the last order that concerned traffic")
    shadow = serializers.IntegerField(allow_null=True, help_text="The version that gets copies of live requests")
    is_off = serializers.BooleanField(help_text="Switched off: it answers 503")
    off_reason = serializers.CharField(allow_blank=True)
    is_frozen = serializers.BooleanField(help_text="Refuses new deployments and splits")
    frozen_reason = serializers.CharField(allow_blank=True)


class RevisionSerializer(serializers.ModelSerializer[EndpointRevision]):
    """One change in an endpoint's history."""

    traffic = TrafficShareSerializer(many=True)

    class Meta:
        model = EndpointRevision
        fields = (
            "generation",
            "kind",
            "model",
            "traffic",
            "engine",
            "restored_generation",
            "is_step",
            "actor",
            "reason",
            "created_at",
        )
        read_only_fields = fields


class OrderSerializer(serializers.Serializer[Any]):
    """What every order may say."""

    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class DeployOrderSerializer(OrderSerializer):
    """Give a version all traffic, or the given shares."""

    model = serializers.CharField(max_length=63)
    reference = serializers.CharField(max_length=63, help_text="A version number, an alias, or 'latest'")
    traffic = TrafficShareSerializer(many=True, required=False)
    engine = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=32,
        help_text="Pins an engine; 'auto' takes the pin away; empty leaves it as it is",
    )


class TrafficOrderSerializer(OrderSerializer):
    """Split the requests over versions of the endpoint's model."""

    traffic = TrafficShareSerializer(many=True)


class RollBackOrderSerializer(OrderSerializer):
    """Return to the traffic before the present one."""

    reason = serializers.CharField(max_length=2000)
    idempotency_key = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    from_version = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1, help_text="Must still have traffic, else 409"
    )


class ReasonSerializer(serializers.Serializer[Any]):
    """Why, kept in the history; safe to repeat with an idempotency key."""

    reason = serializers.CharField(max_length=2000)
    idempotency_key = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)


class ShadowOrderSerializer(ReasonSerializer):
    """The version that gets copies, or null to end it."""

    version = serializers.IntegerField(allow_null=True, min_value=1)


def read_shares(rows: list[dict[str, int]]) -> tuple[TrafficShare, ...]:
    """Return validated rows as shares."""
    return tuple(TrafficShare(version=row["version"], weight=row["weight"]) for row in rows)
