"""Where notifications go."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from monitoring.alerts.vocabulary import ChannelKind
from monitoring.models.alerts.lengths import NAME_LENGTH


class Channel(models.Model):
    """Where notifications go. The URL holds passwords and keys: never show it but masked."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    kind = models.CharField(max_length=12, choices=ChannelKind.choices, default=ChannelKind.APPRISE)
    url = models.CharField(
        "address", max_length=1000,
        help_text="An Apprise URL: json://host/path, jsons://, mailto://, slack:// ...; of an Alertmanager "
                  "http://host:9093. A secret: shown masked.",
    )  # fmt: skip
    title_template = models.CharField(
        max_length=500, default="", blank=True, help_text="Empty: the platform's own title."
    )
    body_template = models.TextField(
        max_length=10_000, default="", blank=True,
        help_text="Empty: the platform's own text. {{ status }}, {% for alert in firing %} ...: see the preview.",
    )  # fmt: skip
    is_default = models.BooleanField(
        "default", default=True, help_text="Also takes the alerts of rules that name no channel."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_sent_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(default="", blank=True, editable=False)
    next_push_at = models.DateTimeField(null=True, editable=False, help_text="Alertmanager only.")
    push_failures = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name
