"""The public JSON of data sets and of what runs found in them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


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
