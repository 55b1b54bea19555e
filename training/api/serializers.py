"""The public JSON of runs, recipes and the registry."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from training.cli.searching import search_record
from training.models import Alias, EpochMetrics, ModelVersion, RegisteredModel, Run, RunUsage, Search
from training.recipes.registry import RecipeInfo
from training.resources.reporting import waiting_reasons
from training.searching.orders import SearchOrder
from training.services import RunOrder
from training.states import RunState


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
    waits = serializers.SerializerMethodField(help_text="Why a queued run waits.")
    tags = serializers.ListField(source="tag_names", child=serializers.CharField(), read_only=True)

    class Meta:
        model = Run
        fields = (
            "id", "short_id", "recipe", "parameters", "data_uri", "target", "model_name", "seed", "state", "progress",
            "attempt", "attempts_left", "exit_class", "exit_message", "requested_by", "reason", "registers",
            "notes", "tags", "version", "cores", "memory_bytes", "gpus", "gpu_memory_bytes", "priority", "waits",
            "queued_at", "deploy_endpoint",
            "deploy_state", "deploy_error", "code_commit", "packages", "data_fingerprint",
            "created_at", "started_at", "ended_at", "duration_s", "heartbeat_at", "cancel_requested_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_version(self, run: Run) -> int | None:
        """Return the version's number once it is ready."""
        version: ModelVersion | None = getattr(run, "version", None)
        return version.version if version is not None and version.state == "ready" else None

    @extend_schema_field(serializers.CharField())
    def get_waits(self, run: Run) -> str:
        """Return why the run waits, and its place in the queue; empty if it does not."""
        if run.state != RunState.QUEUED:
            return ""
        context = cast("dict[str, Any]", self.context)
        if "waiting_reasons" not in context:
            context["waiting_reasons"] = waiting_reasons()  # once for a whole list
        reasons: dict[UUID, str] = context["waiting_reasons"]
        return reasons.get(run.pk, "")


class RunOrderSerializer(serializers.Serializer[RunOrder]):
    """What to train."""

    recipe = serializers.CharField(help_text="A recipe's name, see /api/training/recipes/, or 'package.module:Class'.")
    data_uri = serializers.CharField(help_text="'digits', 'mnist', a path, s3:// or gs://.")
    model_name = serializers.CharField()
    target = serializers.CharField(required=False, allow_blank=True, default="", help_text="Column to predict.")
    parameters = serializers.DictField(child=serializers.JSONField(), required=False, default=dict)
    seed = serializers.IntegerField(required=False, default=0, min_value=0)
    deploy_endpoint = serializers.CharField(required=False, allow_blank=True, default="")
    cores = serializers.FloatField(required=False, help_text="0.5 is half of one; default: the machine's share.")
    memory_bytes = serializers.IntegerField(required=False, help_text="A limit as well; default: as runs like it.")
    gpus = serializers.IntegerField(required=False, help_text="Devices for itself; default: the machine's share.")
    gpu_memory_bytes = serializers.IntegerField(required=False, help_text="Of each device.")
    priority = serializers.IntegerField(required=False, help_text="-100 to 100, default 0; higher goes first.")


class ResourceChangesSerializer(serializers.Serializer[Any]):
    """What a run asks of a machine from now on; what is left out stays as it was."""

    cores = serializers.FloatField(required=False, allow_null=True, help_text="Null: the machine's share.")
    memory_bytes = serializers.IntegerField(required=False, allow_null=True, help_text="Null: as runs like it took.")
    gpus = serializers.IntegerField(required=False, allow_null=True)
    gpu_memory_bytes = serializers.IntegerField(required=False, allow_null=True)
    priority = serializers.IntegerField(required=False)


class RunChangesSerializer(ResourceChangesSerializer):
    """What a clone does otherwise; what is left out stays as in the run that is cloned."""

    parameters = serializers.DictField(child=serializers.JSONField(), required=False)
    data_uri = serializers.CharField(required=False)
    target = serializers.CharField(required=False, allow_blank=True)
    model_name = serializers.CharField(required=False)
    seed = serializers.IntegerField(required=False, min_value=0)
    deploy_endpoint = serializers.CharField(required=False, allow_blank=True)


class AnnotationSerializer(serializers.Serializer[Run]):
    """What people write about a run; what is left out stays."""

    notes = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    tags = serializers.ListField(child=serializers.CharField(), required=False, help_text="All tags of the run.")


class ComparedMetricSerializer(serializers.Serializer[Any]):
    """One metric of all runs; `best` are the places of the best values."""

    values = serializers.ListField(child=serializers.FloatField(allow_null=True))
    best = serializers.ListField(child=serializers.IntegerField())


class ComparedRunSerializer(serializers.Serializer[Any]):
    """One of the runs that are compared."""

    id = serializers.UUIDField()
    short_id = serializers.CharField()
    state = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    notes = serializers.CharField()


class ConfusionSerializer(serializers.Serializer[Any]):
    """Counts on the test rows: `counts` has a row for each true class, a column for each predicted one."""

    labels = serializers.ListField(child=serializers.CharField())
    counts = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()))


class ComparisonSerializer(serializers.Serializer[Any]):
    """Runs side by side; lists are in the order of `runs`, curves are [epoch, value] by metric and short id."""

    runs = ComparedRunSerializer(many=True)
    parameters = serializers.DictField(child=serializers.ListField(child=serializers.JSONField(allow_null=True)))
    metrics = serializers.DictField(child=ComparedMetricSerializer())
    curves = serializers.DictField(child=serializers.DictField(child=serializers.JSONField()))
    confusion_matrices = serializers.DictField(child=ConfusionSerializer())


class SearchOrderSerializer(serializers.Serializer[SearchOrder]):
    """What to search."""

    recipe = serializers.CharField()
    data_uri = serializers.CharField()
    model_name = serializers.CharField()
    space = serializers.CharField(help_text="name=[log:|int:]low..high or name=a|b, separated by commas.")
    target = serializers.CharField(required=False, allow_blank=True, default="")
    parameters = serializers.DictField(child=serializers.JSONField(), required=False, default=dict)
    seed = serializers.IntegerField(required=False, default=0, min_value=0)
    trials = serializers.IntegerField(required=False, default=20)
    parallel = serializers.IntegerField(required=False, default=1)
    sampler = serializers.CharField(required=False, default="tpe", help_text="tpe, random or grid.")
    pruner = serializers.CharField(required=False, default="median", help_text="none, median or hyperband.")
    metric = serializers.CharField(required=False, default="val_loss")
    goal = serializers.CharField(required=False, default="", allow_blank=True, help_text="min or max; or by the name.")
    cores = serializers.FloatField(required=False, help_text="Of each trial, as in a run's order.")
    memory_bytes = serializers.IntegerField(required=False)
    gpus = serializers.IntegerField(required=False)
    gpu_memory_bytes = serializers.IntegerField(required=False)
    priority = serializers.IntegerField(required=False)


class SearchResumeSerializer(serializers.Serializer[Any]):
    """How far a search goes on."""

    trials = serializers.IntegerField(required=False, help_text="Trials altogether; by default as before.")


class SearchRegisterSerializer(serializers.Serializer[Any]):
    """What becomes of the winner."""

    deploy_endpoint = serializers.CharField(required=False, default="", allow_blank=True)


class SearchTrialSerializer(serializers.Serializer[Any]):
    """A trial and its run."""

    number = serializers.IntegerField()
    values = serializers.DictField(child=serializers.JSONField())
    state = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    run = serializers.UUIDField(allow_null=True)


class SearchSerializer(serializers.Serializer[Any]):
    """A search with its trials."""

    id = serializers.UUIDField()
    short_id = serializers.CharField()
    state = serializers.CharField()
    message = serializers.CharField()
    recipe = serializers.CharField()
    parameters = serializers.DictField(child=serializers.JSONField())
    data_uri = serializers.CharField()
    target = serializers.CharField()
    model_name = serializers.CharField()
    seed = serializers.IntegerField()
    requested_by = serializers.CharField()
    space = serializers.ListField(child=serializers.DictField(child=serializers.JSONField()))
    metric = serializers.CharField()
    goal = serializers.CharField()
    sampler = serializers.CharField()
    pruner = serializers.CharField()
    trials_wanted = serializers.IntegerField()
    parallel = serializers.IntegerField()
    resources = serializers.DictField(child=serializers.FloatField(), help_text="What each trial asks for.")
    best_trial = serializers.IntegerField(allow_null=True)
    importances = serializers.DictField(child=serializers.FloatField())
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    trials = SearchTrialSerializer(many=True)

    def to_representation(self, instance: Any) -> Any:
        """Return a search, or its record, as JSON."""
        return super().to_representation(search_record(instance) if isinstance(instance, Search) else instance)


class EpochSerializer(serializers.ModelSerializer[EpochMetrics]):
    """One epoch's metrics."""

    values = serializers.DictField(child=serializers.FloatField(allow_null=True))

    class Meta:
        model = EpochMetrics
        fields = ("epoch", "values", "recorded_at")


class RunUsageSerializer(serializers.ModelSerializer[RunUsage]):
    """Measurements of a run's process and what it started; a point is
    [time in s since the epoch, cores, memory in bytes, GPU share or null, GPU bytes or null]."""

    points = serializers.ListField(child=serializers.ListField(child=serializers.FloatField(allow_null=True)))

    class Meta:
        model = RunUsage
        fields = (
            "points", "interval_s", "memory_peak_bytes", "memory_limit_bytes", "gpu_peak_bytes", "cpu_seconds",
            "measured_at",
        )  # fmt: skip


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
