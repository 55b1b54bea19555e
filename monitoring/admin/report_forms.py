"""What people are asked when they set up scheduled reports."""

from __future__ import annotations

from typing import Any

from django import forms

from monitoring.alerts.vocabulary import ChannelKind
from monitoring.models.alerts import Channel
from monitoring.models.reports import ReportSchedule, channel_problem


class ReportScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A schedule. Only channels that can carry a report are offered; another is refused by its name."""

    class Meta:
        model = ReportSchedule
        exclude: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = Channel.objects.filter(kind=ChannelKind.APPRISE)
        self.fields["channels"].widget.choices = [(channel.pk, channel.name) for channel in offered]

    def clean_channels(self) -> Any:
        """Return the channels.

        Raises: ValidationError naming those that can carry no report.
        """
        channels = self.cleaned_data["channels"]
        if problem := channel_problem(channels):
            raise forms.ValidationError(problem)
        return channels
