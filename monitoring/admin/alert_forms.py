"""What people are asked when they handle an alert."""

from __future__ import annotations

from django import forms

from aiplatform.errors import InvalidInputError
from monitoring.alerts.channels import check_channel_url
from monitoring.models.alerts import AlertRule, Channel
from monitoring.statistics import METRICS

DURATIONS = (("900", "15 minutes"), ("3600", "1 hour"), ("14400", "4 hours"), ("86400", "1 day"), ("604800", "1 week"))


class NoteForm(forms.Form):
    """A note for the timeline."""

    note = forms.CharField(max_length=1000, required=False, help_text="For the timeline: what is being done?")


class SilenceForm(forms.Form):
    """How long, and why."""

    duration_s = forms.ChoiceField(label="For", choices=DURATIONS, initial="3600")
    reason = forms.CharField(max_length=500)


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A rule, with the metrics there are to choose from."""

    class Meta:
        model = AlertRule
        exclude: tuple[str, ...] = ()
        widgets = {"metric": forms.Select(choices=[(m.name, f"{m.name}: {m.help}") for m in METRICS.values()])}


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A channel. The stored address is never sent to the browser: empty keeps it."""

    class Meta:
        model = Channel
        fields = ("name", "url", "is_default", "is_enabled")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._stored_url = self.instance.url if self.instance.pk else ""
        self.initial.pop("url", None)
        self.fields["url"].required = not self._stored_url
        if self._stored_url:
            self.fields["url"].help_text = f"{self.fields['url'].help_text} Leave it empty to keep the present one."

    def clean_url(self) -> str:
        """Return the new address, or the stored one if none was typed.

        Raises: ValidationError if Apprise cannot use it.
        """
        url: str = self.cleaned_data.get("url") or self._stored_url
        try:
            check_channel_url(url)
        except InvalidInputError as error:
            raise forms.ValidationError(error.message) from error
        return url
