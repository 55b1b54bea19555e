"""Pages of the prediction store: what is kept, and what was deleted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from aiplatform.console.pages import Question, confirm, done
from aiplatform.errors import PlatformError
from monitoring.admin.read_only import ReadOnlyAdmin
from monitoring.admin.store_forms import DeletionForm
from monitoring.models import PredictionDeletion, PredictionPolicy
from monitoring.store.deletion import delete_predictions

STATE_COLOURS = {"pending": "warning", "removed": "info", "done": "success"}


class FeatureList(forms.CharField):
    """Names with commas in a form, a list in the row."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        """Return a list as text."""
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the text as a list."""
        if isinstance(value, list):
            return value
        return [name.strip() for name in str(value or "").split(",") if name.strip()]


@admin.register(PredictionPolicy)
class PredictionPolicyAdmin(ModelAdmin):  # type: ignore[misc]
    """What the store keeps of each endpoint's predictions."""

    empty_hint = "Endpoints without a policy follow the settings STORE_*: one prediction of a hundred is kept whole."

    list_display = ("endpoint", "shown_share", "inputs", "retention_days", "redacted", "hashed", "updated_at")
    search_fields = ("endpoint",)
    fieldsets = (
        (None, {"fields": ("endpoint", ("sample_share", "retention_days"))}),
        ("What is kept of the inputs", {"fields": (
            ("inputs", "max_row_bytes"), "kept_features", "redacted_features", "hashed_features",
        )}),
    )  # fmt: skip

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Take names of features with commas."""
        if db_field.name.endswith("_features"):
            return FeatureList(
                required=False, label=db_field.verbose_name.capitalize(), help_text=f"{db_field.help_text} With commas."
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @display(description="Kept")  # type: ignore[untyped-decorator]
    def shown_share(self, policy: PredictionPolicy) -> str:
        """Return the share in percent."""
        return f"{policy.sample_share * 100:.4g}%"

    @display(description="Redacted")  # type: ignore[untyped-decorator]
    def redacted(self, policy: PredictionPolicy) -> str:
        """Return the redacted features."""
        return ", ".join(policy.redacted_features) or "-"

    @display(description="Hashed")  # type: ignore[untyped-decorator]
    def hashed(self, policy: PredictionPolicy) -> str:
        """Return the hashed features."""
        return ", ".join(policy.hashed_features) or "-"


@admin.register(PredictionDeletion)
class PredictionDeletionAdmin(ReadOnlyAdmin):
    """What was deleted, by whom and why; a new order is given here, too."""

    empty_hint = "Nobody has asked to be forgotten. A prediction, or all of a subject, is deleted with:"
    empty_command = "python manage.py predictions delete --subject WHO --reason WHY"

    list_display = (
        "requested_at", "what", "shown_state", "predictions", "stored_rows", "index_rows", "feedback_rows",
        "requested_by", "reason",
    )  # fmt: skip
    list_filter = ("state",)
    search_fields = ("requested_by", "reason")

    def get_urls(self) -> list[URLPattern]:
        """Put a form that asks in the place of the table's own."""
        view = self.admin_site.admin_view
        return [path("add/", view(self.order_page), name="monitoring_predictiondeletion_add"), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say whether the person may order that predictions be deleted."""
        return bool(request.user.has_perm("monitoring.add_predictiondeletion"))

    def order_page(self, request: HttpRequest) -> HttpResponse:
        """Ask which predictions to delete, and delete them."""
        if not self.has_add_permission(request):
            raise Http404
        form, error = DeletionForm(request.POST or None), ""
        back = reverse("admin:monitoring_predictiondeletion_changelist")
        if request.method == "POST" and form.is_valid():
            try:
                order = delete_predictions(by=request.user.get_username(), **form.cleaned_data)
            except PlatformError as problem:
                error = problem.message
            else:
                return done(request, f"{order.predictions} predictions are forgotten: {order.state}.", to=back)
        return confirm(request, QUESTION, form=form, error=error, status=400 if error else 200)

    @display(description="What")  # type: ignore[untyped-decorator]
    def what(self, order: PredictionDeletion) -> str:
        """Say what the order named."""
        return "a subject" if order.pseudonyms else "predictions"

    @display(description="State", label=STATE_COLOURS)  # type: ignore[untyped-decorator]
    def shown_state(self, order: PredictionDeletion) -> str:
        """Return the state, as a badge."""
        return order.state


QUESTION = Question(
    title="Delete predictions",
    submit="Delete",
    cancel_url="/admin/monitoring/predictiondeletion/",
    text="Give either prediction ids or a subject.",
    what_will_change=(
        "Inputs, outputs, index and feedback of these predictions are removed, and cannot be brought back.",
        "Counts in windows and reports stay: they name nobody.",
        "This order stays on record.",
    ),
    is_dangerous=True,
)
