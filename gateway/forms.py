"""The form that makes a token."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms

from aiplatform.identity import Scope

_MEANINGS = {
    Scope.PREDICT: "ask models, send feedback",
    Scope.TRAIN: "runs, models, aliases",
    Scope.MONITOR: "reports and alerts",
    Scope.ADMIN: "everything",
}


class TokenForm(forms.Form):
    """Who may do what, for how long, how often."""

    username = forms.CharField(label="User", max_length=150)
    name = forms.CharField(max_length=100, help_text="What it is for")
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope.value}: {_MEANINGS[scope]}") for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
    )
    expires_in_days = forms.IntegerField(min_value=1, max_value=3650, required=False, help_text="Empty: never")
    predict_rate = forms.CharField(
        label="Limit of predictions", max_length=32, required=False, help_text="For example 100/min; empty: the default"
    )
    api_rate = forms.CharField(
        label="Limit of other calls", max_length=32, required=False, help_text="For example 100/min; empty: the default"
    )

    def values(self) -> dict[str, Any]:
        """Return the arguments of `create_token`."""
        values = dict(self.cleaned_data)
        days = values.pop("expires_in_days")
        return {**values, "expires_in": timedelta(days=days) if days else None}
