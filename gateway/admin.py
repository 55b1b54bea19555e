"""Tokens and the audit log in the console.

A token is made by a form that shows its secret once, on the page that answers it: neither a
message nor the session keeps it. Rows are not edited; a button revokes, and asks first.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from aiplatform.console.pages import Question, confirm, done, page_context
from aiplatform.context import current_request_id
from aiplatform.errors import PlatformError
from gateway.forms import TokenForm
from gateway.models import AuditRecord, Token
from gateway.selectors import get_token, list_tokens
from gateway.services import create_token, revoke_token

TOKENS_URL = "admin:gateway_token_changelist"


@admin.register(Token)
class TokenAdmin(ModelAdmin):  # type: ignore[misc]
    """Tokens: listed, made, revoked."""

    list_display = ("name", "user", "scope_names", "state", "begins_with", "created", "expiry", "last_used_at")
    list_filter = ("user",)
    search_fields = ("name", "user__username", "token_key")
    fields = (
        "name", "user", "scope_names", "state", "begins_with", "created", "expiry", "revoked_at", "last_used_at",
        "predict_rate", "api_rate",
    )  # fmt: skip
    readonly_fields = fields
    actions_detail = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Token]:
        """Return all tokens with their users."""
        return list_tokens()

    def has_change_permission(self, request: HttpRequest, obj: Token | None = None) -> bool:
        """Say that no row is edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Token | None = None) -> bool:
        """Say that no row is deleted: the audit log refers to it."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """Put the form that makes a token in place of the plain one."""
        view = self.admin_site.admin_view(self.create_view)
        return [path("add/", view, name="gateway_token_add"), *super().get_urls()]

    def create_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for a token's values; make it; show its secret, once."""
        question = Question(
            title="Create a token",
            submit="Create",
            cancel_url=reverse(TOKENS_URL),
            text="The secret is shown once, on the next page.",
        )
        if not self.has_add_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        form = TokenForm(request.POST or None, initial={"username": request.user.get_username()})
        if request.method != "POST" or not form.is_valid():
            return confirm(request, question, form=form)
        try:
            token, secret = create_token(
                **form.values(), actor=request.user.get_username(), request_id=current_request_id()
            )
        except PlatformError as error:
            return confirm(request, question, form=form, error=str(error), status=error.http_status)
        return _secret_page(request, token, secret)

    @action(description="Revoke", url_path="revoke")  # type: ignore[untyped-decorator]
    def revoke(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Ask, then revoke."""
        token = get_token(object_id)
        if not self.has_add_permission(request):
            return HttpResponseRedirect(reverse(TOKENS_URL))
        if request.method == "POST":
            revoke_token(token_id=token.pk, actor=request.user.get_username(), request_id=current_request_id())
            return done(request, f"Token '{token.name}' is revoked.", to=reverse(TOKENS_URL))
        question = Question(
            title=f"Revoke the token '{token.name}'?",
            submit="Revoke",
            cancel_url=reverse("admin:gateway_token_change", args=[token.pk]),
            text="A revoked token cannot be made usable again.",
            what_will_change=(f"Programs that use '{token.name}' of {token.user} are refused within 5 seconds.",),
            is_dangerous=True,
        )
        return confirm(request, question)

    @display(description="Scopes")  # type: ignore[untyped-decorator]
    def scope_names(self, token: Token) -> str:
        """Return the scopes as text."""
        return ", ".join(token.scopes)

    @display(description="State", label={"usable": "success", "revoked": "danger", "expired": "warning"})  # type: ignore[untyped-decorator]
    def state(self, token: Token) -> str:
        """Return whether it opens anything now."""
        return token.state

    @display(description="Begins with")  # type: ignore[untyped-decorator]
    def begins_with(self, token: Token) -> str:
        """Return the characters to recognise it by."""
        return f"{token.token_key}…"


@admin.register(AuditRecord)
class AuditRecordAdmin(ModelAdmin):  # type: ignore[misc]
    """The audit log: read only."""

    list_display = ("time", "actor", "action", "object", "http_status", "request_id")
    list_filter = ("action",)
    search_fields = ("actor", "object", "request_id")
    date_hierarchy = "time"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say that nobody writes by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say that nobody edits."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say that nobody deletes; old records age out."""
        return False


def _secret_page(request: HttpRequest, token: Token, secret: str) -> HttpResponse:
    context = page_context(
        request, title="Copy the secret now", token=token, secret=secret, back_url=reverse(TOKENS_URL)
    )
    return TemplateResponse(request, "gateway/token_created.html", context)  # the admin's pages are never cached
