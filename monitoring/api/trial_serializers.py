"""The JSON of a rule's trial, and of a template's preview."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from monitoring.alerts.trial import TargetTrial


class StretchSerializer(serializers.Serializer[Any]):
    """A time in one state."""

    state = serializers.CharField(help_text="inactive, pending, firing, recovering, no_data, error or paused.")
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    message = serializers.CharField(help_text="What was found at its beginning.")


class FiringSerializer(serializers.Serializer[Any]):
    """An alert that would have fired."""

    fired_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    labels = serializers.DictField(child=serializers.CharField())


class TargetTrialSerializer(serializers.Serializer[Any]):
    """One endpoint version under the rule."""

    endpoint = serializers.CharField()
    version = serializers.IntegerField()
    timeline = serializers.SerializerMethodField()
    firings = FiringSerializer(many=True)

    @extend_schema_field(StretchSerializer(many=True))
    def get_timeline(self, target: TargetTrial) -> list[dict[str, Any]]:
        """Return the stretches of one state."""
        stretches = []
        for state, run in groupby(target.moments, key=lambda moment: moment.state):
            moments = list(run)
            found = moments[0].found
            stretches.append(
                {"state": state, "since": moments[0].at, "until": moments[-1].at,
                 "message": found.message if found else "paused by quiet hours"}
            )  # fmt: skip
        return stretches


class TrialMessageSerializer(serializers.Serializer[Any]):
    """A message that would have been sent to each of the channels."""

    at = serializers.DateTimeField()
    kind = serializers.CharField()
    group = serializers.CharField()
    firing = serializers.IntegerField()
    resolved = serializers.IntegerField()
    channels = serializers.ListField(child=serializers.CharField())


class TrialSerializer(serializers.Serializer[Any]):
    """What a rule would have done. It was looked at every `step_s` seconds."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    step_s = serializers.IntegerField()
    firing_count = serializers.IntegerField()
    left_out = serializers.IntegerField(help_text="Versions beyond the first ten.")
    targets = TargetTrialSerializer(many=True)
    messages = TrialMessageSerializer(many=True)


class PreviewSerializer(serializers.Serializer[Any]):
    """Templates, and the message that they make of an invented group of alerts."""

    title_template = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)
    body_template = serializers.CharField(required=False, default="", allow_blank=True, max_length=10_000)
    title = serializers.CharField(read_only=True)
    body = serializers.CharField(read_only=True)
    problem = serializers.CharField(read_only=True, help_text="What is wrong with the templates; empty: nothing.")
