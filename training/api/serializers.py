"""The public JSON of runs, recipes and the registry."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from training.models import Alias, EpochMetrics, ModelVersion, RegisteredModel, Run
from training.recipes.registry import RecipeInfo
from training.services import RunOrder


class ParameterSerializer(serializers.Serializer[Any]):
    """One parameter of a recipe."""

    name = serializers.CharField()
    type = serializers.ChoiceField(choices=["int", "float", "bool", "str"])
    default = serializers.JSONField()
    minimum = serializers.FloatField(allow_null=True)
    maximum = serializers.FloatField(allow_null=True)
    choices = serializers.ListField(child=serializers.JSONField())
    help = serializers.CharField()


class RecipeSerializer(serializers.Serializer[RecipeInfo]):
    """A recipe with its parameters."""

    name = serializers.CharField()
    summary = serializers.CharField()
    framework = serializers.CharField()
    data_kind = serializers.CharField()
    parameters = ParameterSerializer(many=True)


class VersionReferenceSerializer(serializers.Serializer[ModelVersion]):
    """Which version a run became."""

    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField()


class RunSerializer(serializers.ModelSerializer[Run]):
    """A run: what was ordered, where it stands, how it ended."""

    short_id = serializers.CharField(read_only=True)
    duration_s = serializers.FloatField(read_only=True, allow_null=True)
    version = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = (
            "id", "short_id", "recipe", "parameters", "data_uri", "target", "model_name", "seed", "state", "progress",
            "attempt", "attempts_left", "exit_class", "exit_message", "requested_by", "version",
            "deploy_endpoint", "deploy_state", "deploy_error", "code_commit", "packages", "data_fingerprint",
            "created_at", "started_at", "ended_at", "duration_s", "heartbeat_at", "cancel_requested_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_version(self, run: Run) -> int | None:
        """Return the version's number once it is ready."""
        version: ModelVersion | None = getattr(run, "version", None)
        return version.version if version is not None and version.state == "ready" else None


class RunOrderSerializer(serializers.Serializer[RunOrder]):
    """What to train."""

    recipe = serializers.CharField(help_text="A recipe's name, see /api/training/recipes/, or 'package.module:Class'.")
    data_uri = serializers.CharField(help_text="'digits', 'mnist', a path, s3:// or gs://.")
    model_name = serializers.CharField()
    target = serializers.CharField(required=False, allow_blank=True, default="", help_text="Column to predict.")
    parameters = serializers.DictField(child=serializers.JSONField(), required=False, default=dict)
    seed = serializers.IntegerField(required=False, default=0, min_value=0)
    deploy_endpoint = serializers.CharField(required=False, allow_blank=True, default="")


class EpochSerializer(serializers.ModelSerializer[EpochMetrics]):
    """One epoch's metrics."""

    values = serializers.DictField(child=serializers.FloatField(allow_null=True))

    class Meta:
        model = EpochMetrics
        fields = ("epoch", "values", "recorded_at")


class RunLogSerializer(serializers.Serializer[Any]):
    """The end of a run's log; null if its log lies on another machine or there is none yet."""

    log = serializers.CharField(allow_null=True)
    host = serializers.CharField()


class AliasSerializer(serializers.ModelSerializer[Alias]):
    """An alias and the version that it names."""

    version = serializers.IntegerField(source="version.version")

    class Meta:
        model = Alias
        fields = ("name", "version", "changed_at", "changed_by")
        read_only_fields = ("name", "changed_at", "changed_by")


class AliasOrderSerializer(serializers.Serializer[Any]):
    """Which version an alias shall name."""

    reference = serializers.CharField(help_text="A number, another alias, or 'latest'.")


class ModelSerializer(serializers.ModelSerializer[RegisteredModel]):
    """A registered model."""

    aliases = AliasSerializer(many=True, read_only=True)

    class Meta:
        model = RegisteredModel
        fields = ("name", "description", "aliases", "created_at")
        read_only_fields = ("name", "created_at")


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """An immutable version with its lineage."""

    model = serializers.CharField(source="model.name")
    aliases = serializers.SlugRelatedField[Alias](slug_field="name", many=True, read_only=True)
    labels = serializers.ListField(child=serializers.CharField(), read_only=True)
    lineage = serializers.DictField(read_only=True)
    metrics = serializers.DictField(child=serializers.FloatField(), read_only=True)
    run = serializers.UUIDField(source="run_id", allow_null=True, help_text="Null: the version was imported.")

    class Meta:
        model = ModelVersion
        fields = (
            "model", "version", "framework", "task", "labels", "aliases", "metrics", "run", "lineage",
            "artifact_uri", "artifact_digest", "created_at",
        )  # fmt: skip
        read_only_fields = fields
