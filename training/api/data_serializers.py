"""The public JSON of data sets and of what runs found in them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from training.dataset_models import Dataset, DatasetVersion


class BadRowSerializer(serializers.Serializer[Any]):
    """A row or file that could not be used."""

    where = serializers.CharField(help_text="The row's number, or the file's name.")
    reason = serializers.CharField()


class SourceReportSerializer(serializers.Serializer[Any]):
    """What was found in one source of a run's data."""

    source = serializers.CharField()  # type: ignore[assignment]  # the field's name is the word
    split = serializers.CharField()
    rows = serializers.DictField(child=serializers.IntegerField(), help_text="By part: training, validation, test.")
    fingerprint = serializers.CharField(allow_blank=True)
    is_streamed = serializers.BooleanField()
    on_bad = serializers.CharField()
    bad_limit = serializers.FloatField()
    bad_count = serializers.IntegerField()
    bad = BadRowSerializer(many=True, help_text="The first of them.")


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A registered data set."""

    class Meta:
        model = Dataset
        fields = ("name", "description", "last_version", "created_at")
        read_only_fields = fields


class DatasetVersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    """What a source held when it was registered."""

    dataset = serializers.CharField(source="dataset.name")

    class Meta:
        model = DatasetVersion
        fields: tuple[str, ...] = (
            "dataset", "version", "source_uri", "target", "fingerprint", "kind", "rows", "size_bytes", "created_at",
            "created_by",
        )  # fmt: skip
        read_only_fields = fields


class DatasetVersionDetailSerializer(DatasetVersionSerializer):
    """A version with its schema, its profile and what was found in its source."""

    schema = serializers.DictField()
    profile = serializers.DictField(help_text="As in a model artifact: sketches by feature.")
    report = SourceReportSerializer(many=True)

    class Meta(DatasetVersionSerializer.Meta):
        fields = (*DatasetVersionSerializer.Meta.fields, "schema", "profile", "report")
        read_only_fields = fields


class DatasetDifferenceSerializer(serializers.Serializer[Any]):
    """Two versions beside each other."""

    before = DatasetVersionSerializer()
    after = DatasetVersionSerializer()
    is_same_content = serializers.BooleanField()
    added_inputs = serializers.ListField(child=serializers.CharField())
    removed_inputs = serializers.ListField(child=serializers.CharField())
    changed_inputs = serializers.ListField(child=serializers.CharField())
    added_labels = serializers.ListField(child=serializers.CharField())
    removed_labels = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.IntegerField(), help_text="Before and after.")
    drift = serializers.DictField(help_text="Monitoring's drift table: a verdict for each column, and for all.")
