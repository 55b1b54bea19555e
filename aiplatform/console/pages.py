"""Pages that the apps' admins share, so that every button that changes something asks first, alike.

    def deploy_version(self, request, object_id):
        version = selectors.get_version(object_id)
        form = DeployForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            services.deploy(...)
            return done(request, "Version 3 is being deployed.", to=reverse(...))
        return confirm(request, Question(title="Deploy mnist version 3?", submit="Deploy", ...), form=form)

`confirm` shows `console/confirm.html`: a POST form with CSRF. Only the POST may change anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin, messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a person is asked before something changes.

    `what_will_change` are short lines; `is_dangerous` makes the button red; `cancel_url` is where
    'No, go back' leads.
    """

    title: str
    submit: str
    cancel_url: str
    text: str = ""
    what_will_change: Sequence[str] = field(default_factory=tuple)
    is_dangerous: bool = False


def confirm(
    request: HttpRequest, question: Question, *, form: BaseForm | None = None, error: str = "", status: int = 200
) -> HttpResponse:
    """Return the page that asks; `error` says why the last try did not work."""
    context = page_context(request, title=question.title, question=question, form=form, error=error)
    return TemplateResponse(request, "console/confirm.html", context, status=status)


def done(request: HttpRequest, message: str, *, to: str) -> HttpResponse:
    """Return to a page and say there what was done."""
    messages.success(request, message)
    return HttpResponseRedirect(to)


def failed(request: HttpRequest, message: str, *, to: str) -> HttpResponse:
    """Return to a page and say there what could not be done."""
    messages.error(request, message)
    return HttpResponseRedirect(to)


def page_context(request: HttpRequest, *, title: str, **more: Any) -> dict[str, Any]:
    """Return the context of a page in the admin's frame (sidebar, header, theme)."""
    return {**admin.site.each_context(request), "title": title, **more}
