"""What people are asked when they set up and handle alerts."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from aiplatform.errors import InvalidInputError
from monitoring.alerts.channels import check_channel
from monitoring.alerts.durations import duration_text, read_duration
from monitoring.alerts.matchers import split_matchers
from monitoring.alerts.templates import render_template
from monitoring.alerts.vocabulary import Weekday
from monitoring.models.alerts import AlertRule, Channel, Escalation, Inhibition, QuietHours, Route, Silence
from monitoring.statistics import METRICS

DURATIONS = (("900", "15 minutes"), ("3600", "1 hour"), ("14400", "4 hours"), ("86400", "1 day"), ("604800", "1 week"))


class NoteForm(forms.Form):
    """A note for the timeline."""

    note = forms.CharField(max_length=1000, required=False, help_text="For the timeline: what is being done?")


class SilenceForm(forms.Form):
    """How long, and why."""

    duration_s = forms.ChoiceField(label="For", choices=DURATIONS, initial="3600")
    reason = forms.CharField(max_length=500)


class MatchersField(forms.CharField):
    """Matchers, one a line in the browser, a list in the database."""

    def __init__(self, **options: Any) -> None:
        options.pop("encoder", None)
        options.pop("decoder", None)
        options["widget"] = UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": 'endpoint="digits"'})
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        """Return the text to be edited."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the list.

        Raises: ValidationError naming the line that is no matcher.
        """
        try:
            return split_matchers(super().to_python(value) or "")
        except InvalidInputError as error:
            raise forms.ValidationError(error.message) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare as texts."""
        return super().has_changed(self.prepare_value(initial), data)


class NamesField(forms.CharField):
    """Names with commas between them in the browser, a list in the database."""

    def __init__(self, **options: Any) -> None:
        options.pop("encoder", None)
        options.pop("decoder", None)
        options["widget"] = UnfoldAdminTextInputWidget()
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        """Return the text to be edited."""
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the list."""
        return [name.strip() for name in (super().to_python(value) or "").split(",") if name.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare as texts."""
        return super().has_changed(self.prepare_value(initial), data)


class DurationField(forms.CharField):
    """A duration as people type it in the browser, seconds in the database."""

    def __init__(self, **options: Any) -> None:
        for name in ("min_value", "max_value", "step_size"):  # of the number that it stands for
            options.pop(name, None)
        options["widget"] = UnfoldAdminTextInputWidget()
        options["label"] = str(options.get("label", "")).removesuffix(", s")
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        """Return the text to be edited."""
        return duration_text(value) if isinstance(value, int) else value

    def to_python(self, value: Any) -> Any:
        """Return the seconds; None if nothing was typed.

        Raises: ValidationError naming what is no duration.
        """
        if isinstance(value, int) or value in self.empty_values:
            return value if isinstance(value, int) else None
        try:
            return read_duration(str(value))
        except InvalidInputError as error:
            raise forms.ValidationError(error.message) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare as seconds: 60 min is 1 h."""
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except forms.ValidationError:
            return True


RULE_DURATIONS = ("offset_s", "window_s", "for_s", "keep_firing_for_s", "action_cooldown_s")
ROUTE_DURATIONS = ("group_wait_s", "group_interval_s", "repeat_interval_s")


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A rule, with the metrics there are to choose from."""

    class Meta:
        model = AlertRule
        exclude: tuple[str, ...] = ()
        field_classes = dict.fromkeys(RULE_DURATIONS, DurationField)
        widgets = {
            "metric": UnfoldAdminSelectWidget(choices=[(m.name, f"{m.name}: {m.help}") for m in METRICS.values()])
        }


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A channel. The stored address is never sent to the browser: empty keeps it."""

    class Meta:
        model = Channel
        fields = ("name", "kind", "url", "title_template", "body_template", "is_default", "is_enabled")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._stored_url = self.instance.url if self.instance.pk else ""
        self.initial.pop("url", None)
        self.fields["url"].required = not self._stored_url
        if self._stored_url:
            self.fields["url"].help_text = f"{self.fields['url'].help_text} Leave it empty to keep the present one."

    def clean_url(self) -> str:
        """Return the new address, or the stored one if none was typed.

        Raises: ValidationError if it cannot be used.
        """
        url: str = self.cleaned_data.get("url") or self._stored_url
        try:
            check_channel(self.cleaned_data.get("kind", ""), url)
        except InvalidInputError as error:
            raise forms.ValidationError(error.message) from error
        return url

    def clean_title_template(self) -> str:
        """Return the template, if it can be read."""
        return self._checked("title_template")

    def clean_body_template(self) -> str:
        """Return the template, if it can be read."""
        return self._checked("body_template")

    def _checked(self, name: str) -> str:
        template: str = self.cleaned_data.get(name) or ""
        try:
            render_template(template, {})
        except InvalidInputError as error:
            raise forms.ValidationError(error.message) from error
        return template


class SilenceModelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A silence, with its matchers one a line."""

    class Meta:
        model = Silence
        fields = ("matchers", "starts_at", "ends_at", "reason", "holds_actions")
        field_classes = {"matchers": MatchersField}


class RouteForm(forms.ModelForm):  # type: ignore[type-arg]
    """A route, with its matchers one a line."""

    class Meta:
        model = Route
        exclude: tuple[str, ...] = ()
        field_classes = {
            "matchers": MatchersField, "group_by": NamesField, **dict.fromkeys(ROUTE_DURATIONS, DurationField)
        }  # fmt: skip


class EscalationForm(forms.ModelForm):  # type: ignore[type-arg]
    """A step of an escalation."""

    class Meta:
        model = Escalation
        fields = ("after_s", "channels")
        field_classes = {"after_s": DurationField}


class InhibitionForm(forms.ModelForm):  # type: ignore[type-arg]
    """An inhibition, with its matchers one a line."""

    class Meta:
        model = Inhibition
        exclude: tuple[str, ...] = ()
        field_classes = {"source_matchers": MatchersField, "target_matchers": MatchersField, "equal": NamesField}


class QuietHoursForm(forms.ModelForm):  # type: ignore[type-arg]
    """Quiet hours, with the days to tick."""

    days = forms.MultipleChoiceField(
        choices=Weekday.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="The days on which it starts.",
    )

    class Meta:
        model = QuietHours
        exclude: tuple[str, ...] = ()
