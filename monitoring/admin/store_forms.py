"""The form that orders a deletion."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget


class DeletionForm(forms.Form):
    """Which predictions, or whose."""

    prediction_ids = forms.CharField(
        required=False, label="Prediction ids", help_text="One a line.", widget=UnfoldAdminTextareaWidget
    )
    subject = forms.CharField(
        required=False, max_length=1000, help_text="As X-Subject-Id had it. It is not kept.",
        widget=UnfoldAdminTextInputWidget,
    )  # fmt: skip
    reason = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget)

    def clean_prediction_ids(self) -> list[str]:
        """Return the ids as a list."""
        return [name for name in re.split(r"[\s,]+", self.cleaned_data["prediction_ids"]) if name]

    def clean(self) -> dict[str, Any]:
        """Require one of the two."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if bool(cleaned.get("prediction_ids")) == bool(cleaned.get("subject")):
            raise forms.ValidationError("Give either prediction ids or a subject.")
        return cleaned
