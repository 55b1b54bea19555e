"""The public REST API's shapes of rollouts, holds, policies and timelines."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from monitoring.models.retrainings import Retraining
from monitoring.models.rollouts import AutomationHold, PromotionPolicy, Rollout, RolloutEvent, RolloutStep


class StepSerializer(serializers.ModelSerializer[RolloutStep]):
    """One gate, and all that was seen there."""

    class Meta:
        model = RolloutStep
        fields = ("number", "kind", "weight", "state", "verdict", "text", "evidence", "started_at", "ended_at")
        read_only_fields = fields


class RolloutEventSerializer(serializers.ModelSerializer[RolloutEvent]):
    """One line of the timeline."""

    class Meta:
        model = RolloutEvent
        fields = ("at", "text", "actor", "tone")
        read_only_fields = fields


class RolloutSerializer(serializers.ModelSerializer[Rollout]):
    """Where a rollout stands."""

    steps = StepSerializer(many=True, read_only=True)

    class Meta:
        model = Rollout
        fields = (
            "id", "endpoint", "model", "champion", "challenger", "state", "waiting_for", "reason", "is_paused",
            "paused_by", "started_by", "started_for", "created_at", "failed_at", "ended_at", "policy", "steps",
        )  # fmt: skip
        read_only_fields = fields


class RolloutDetailSerializer(RolloutSerializer):
    """The same with its timeline."""

    events = RolloutEventSerializer(many=True, read_only=True)

    class Meta(RolloutSerializer.Meta):
        fields = (*RolloutSerializer.Meta.fields, "events")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]


class StartRolloutSerializer(serializers.Serializer[Any]):
    """Which challenger shall come through the gates of which endpoint."""

    endpoint = serializers.CharField(max_length=63)
    challenger = serializers.CharField(max_length=63, help_text="A version's number or an alias")
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)
    key = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=200, help_text="The same key twice is one rollout"
    )
    policy = serializers.DictField(required=False, default=dict, help_text="Over the endpoint's own, for this rollout")


class HoldSerializer(serializers.ModelSerializer[AutomationHold]):
    """A hold of all automation; an empty endpoint is everywhere."""

    endpoint = serializers.CharField(required=False, allow_blank=True, default="", max_length=63)

    class Meta:
        model = AutomationHold
        fields = ("id", "endpoint", "reason", "placed_by", "placed_at", "lifted_by", "lifted_at")
        read_only_fields = ("id", "placed_by", "placed_at", "lifted_by", "lifted_at")


class PromotionPolicySerializer(serializers.ModelSerializer[PromotionPolicy]):
    """What is special for an endpoint, and the whole policy that follows from it."""

    effective = serializers.SerializerMethodField(help_text="With the defaults of the settings")

    class Meta:
        model = PromotionPolicy
        fields = ("endpoint", "values", "effective", "updated_by", "updated_at")
        read_only_fields = ("updated_by", "updated_at")

    def get_effective(self, policy: PromotionPolicy) -> dict[str, Any]:
        """Return the whole policy."""
        from monitoring.rollouts.policy import plain_policy, read_policy

        return plain_policy(read_policy(policy.values))


class SetPromotionPolicySerializer(serializers.Serializer[Any]):
    """What shall be special for an endpoint; what is not named is as the settings say."""

    endpoint = serializers.RegexField("^[a-z0-9][a-z0-9._-]{0,62}$")
    values = serializers.DictField()


class OrderRetrainingSerializer(serializers.Serializer[Any]):
    """Retrain an endpoint's model as a version was trained; the result becomes challenger."""

    endpoint = serializers.CharField(max_length=63)
    version = serializers.IntegerField(min_value=1)
    source = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, default="", max_length=1000,
        help_text="A data URI; empty: what the version learnt from, and the labelled predictions",
    )  # fmt: skip
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)
    policy = serializers.DictField(required=False, default=dict)
    key = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)


class RetrainingSerializer(serializers.ModelSerializer[Retraining]):
    """How far a retraining has come."""

    class Meta:
        model = Retraining
        fields = (
            "id", "endpoint", "model", "base_version", "source", "state", "text", "data_uri", "labelled", "run_id",
            "version", "rollout", "ordered_by", "reason", "created_at", "ended_at",
        )  # fmt: skip
        read_only_fields = fields


class MomentSerializer(serializers.Serializer[Any]):
    """One thing that happened to an endpoint."""

    at = serializers.DateTimeField()
    lane = serializers.ChoiceField(choices=["traffic", "alert", "action", "training", "rollout", "hold"])
    text = serializers.CharField()
    tone = serializers.CharField(allow_blank=True)
    actor = serializers.CharField(allow_blank=True)


class TimelineSerializer(serializers.Serializer[Any]):
    """All that happened, newest first; `gaps` says what could not be asked."""

    endpoint = serializers.CharField()
    moments = MomentSerializer(many=True)
    gaps = serializers.ListField(child=serializers.CharField())
