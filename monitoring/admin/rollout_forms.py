"""Forms behind the buttons of rollouts."""

from __future__ import annotations

from django import forms


class StartForm(forms.Form):
    """Which challenger is to come through the gates."""

    endpoint = forms.CharField(max_length=63)
    challenger = forms.CharField(max_length=63, initial="challenger", help_text="A version's number or an alias")
    reason = forms.CharField(required=False, max_length=1000, help_text="Why; kept in the timeline")


class HoldForm(forms.Form):
    """Why all automation is to stop."""

    endpoint = forms.CharField(required=False, max_length=63, help_text="Empty: everywhere")
    reason = forms.CharField(max_length=500, help_text="Shown to everybody, on every page")


class NoForm(forms.Form):
    """Nothing to be filled in: the question alone."""
