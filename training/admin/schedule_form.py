"""The form that keeps a training schedule: which run is repeated, and when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms

from aiplatform.errors import PlatformError
from training import scheduling, selectors
from training.cli.texts import ready_version
from training.models import Run, TrainingSchedule
from training.names import check_name, check_public_name
from training.scheduling import LONGEST_WATCH_MINUTES, ScheduleOrder

MOST_RUNS = 100
_CRON, _DATA = "cron", "data"
_WHEN = [(_CRON, "at set times"), (_DATA, "when there is new data")]


class ScheduleForm(forms.Form):
    """What to train again, and when."""

    name = forms.CharField(help_text="Of the schedule: a-z 0-9 . _ -")
    like = forms.ChoiceField(
        label="Trains as this run did", help_text="With its recipe, parameters, target, seed and model."
    )
    data_uri = forms.CharField(
        label="Data", max_length=1000, required=False, help_text="Other data than the run's; empty: the run's."
    )
    deploy_endpoint = forms.CharField(
        label="Deploy to", required=False, help_text="An endpoint that each new version goes to; empty: none."
    )
    when = forms.ChoiceField(label="Trains", choices=_WHEN, initial=_CRON, widget=forms.RadioSelect)
    cron = forms.CharField(
        label="Cron line", required=False, max_length=100, initial="0 3 * * *",
        help_text="Minute, hour, day, month, weekday, in UTC. 0 3 * * * is each night at three, "
        "30 6 * * mon-fri at half past six on working days.",
    )  # fmt: skip
    watch_minutes = forms.IntegerField(
        label="Look for new data every so many minutes", required=False, min_value=1, max_value=LONGEST_WATCH_MINUTES,
        initial=10, help_text="What its place says of it is looked at: time, size, ETag. What is there now is not new.",
    )  # fmt: skip

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.runs = self._known_runs()
        choices = [(str(run.pk), run_text(run)) for run in self.runs]
        self.fields["like"].choices = choices  # type: ignore[attr-defined]

    def _known_runs(self) -> list[Run]:
        """Return the runs that succeeded last, and the one that is asked for."""
        runs = selectors.list_repeatable_runs(MOST_RUNS)
        wanted = self.data.get("like") or self.initial.get("like")
        if not wanted or any(str(run.pk) == wanted for run in runs):
            return runs
        try:
            return [selectors.get_run(wanted), *runs]
        except PlatformError:
            return runs

    @property
    def times(self) -> list[str]:
        """Return when the cron line comes next, as far as it is one."""
        cron = self.data.get("cron") if self.is_bound else self.fields["cron"].initial
        try:
            return [time_text(time) for time in scheduling.next_times(str(cron or "").strip())]
        except PlatformError:
            return []

    def clean_name(self) -> str:
        """Return the name, which nobody has yet."""
        name = str(self.cleaned_data["name"])
        try:
            check_name("schedule", name)
        except PlatformError as error:
            raise forms.ValidationError(error.message) from error
        if TrainingSchedule.objects.filter(name=name).exists():
            raise forms.ValidationError(f"There is a schedule '{name}' already.")
        return name

    def clean_deploy_endpoint(self) -> str:
        """Return the endpoint's name, or nothing."""
        name = str(self.cleaned_data["deploy_endpoint"])
        try:
            return check_public_name("endpoint", name) if name else ""
        except PlatformError as error:
            raise forms.ValidationError(error.message) from error

    def clean(self) -> dict[str, Any]:
        """Check what was chosen of the two, and forget the other."""
        values = self.cleaned_data
        run = next((run for run in self.runs if str(run.pk) == values.get("like")), None)
        if values.get("when") == _DATA:
            values["cron"] = ""
            self._check("watch_minutes", values.get("watch_minutes"), run)
        else:
            values["watch_minutes"] = 0
            self.errors.pop("watch_minutes", None)
            self._check("cron", values.get("cron"), run)
        return values

    def _check(self, name: str, value: Any, run: Run | None) -> None:
        if name in self.errors:
            return
        if not value:
            self.add_error(name, "This field is required.")
            return
        try:
            if name == "cron":
                scheduling.check_cron(value)
            elif run is not None:
                scheduling.check_watch(value, self.cleaned_data.get("data_uri") or run.data_uri)
        except PlatformError as error:
            self.add_error(name, error.message)

    def order(self, *, actor: str) -> ScheduleOrder:
        """Return what was filled in."""
        names = ("name", "cron", "watch_minutes", "data_uri", "deploy_endpoint")
        like = selectors.get_run(self.cleaned_data["like"])
        return ScheduleOrder(like=like, actor=actor, **{name: self.cleaned_data[name] for name in names})


def run_text(run: Run) -> str:
    """Return a run as one line to choose from."""
    version = ready_version(run)
    became = f" version {version.version}" if version else ""
    return f"{run.model_name}{became}: {run.recipe} on {run.data_uri} (run {run.short_id}, {run.created_at:%Y-%m-%d})"


def time_text(time: datetime) -> str:
    """Return a moment of the future with its weekday."""
    return f"{time:%a %Y-%m-%d %H:%M} UTC"
