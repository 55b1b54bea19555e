"""Pages that ask before something changes."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.http import HttpRequest
from django.test import RequestFactory

from aiplatform.console.pages import Question, confirm, done, failed

pytestmark = pytest.mark.django_db


@pytest.fixture
def page_request(admin_user: Any) -> HttpRequest:
    """Give a request as the admin's views see it."""
    request = RequestFactory().get("/admin/somewhere/")
    request.user = admin_user
    request.session = {}  # type: ignore[assignment]
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
    return request


class ShareForm(forms.Form):
    """A number to ask for."""

    weight = forms.IntegerField(min_value=0, max_value=100, help_text="percent")


def test_the_question_says_what_will_change_and_posts_with_a_csrf_token(page_request: HttpRequest) -> None:
    question = Question(
        title="Deploy digits version 3?",
        submit="Deploy",
        cancel_url="/admin/back/",
        text="It takes all traffic.",
        what_will_change=["version 2 gets 0%", "<b>version 3</b> gets 100%"],
    )
    page = confirm(page_request, question, form=ShareForm(), error="it is not ready").render().content.decode()  # type: ignore[attr-defined]
    for part in (
        "Deploy digits version 3?",
        "It takes all traffic.",
        "version 2 gets 0%",
        "it is not ready",
        "percent",
    ):
        assert part in page
    assert "&lt;b&gt;version 3" in page
    assert "csrfmiddlewaretoken" in page
    assert 'href="/admin/back/"' in page
    assert "console-button-main" in page


def test_a_dangerous_question_has_a_red_button(page_request: HttpRequest) -> None:
    question = Question(title="Roll back?", submit="Roll back", cancel_url="/", is_dangerous=True)
    assert "console-button-bad" in confirm(page_request, question).render().content.decode()  # type: ignore[attr-defined]


def test_what_was_done_and_what_failed_is_said_on_the_next_page(page_request: HttpRequest) -> None:
    assert done(page_request, "Deployed.", to="/a/")["Location"] == "/a/"
    assert failed(page_request, "Refused.", to="/b/")["Location"] == "/b/"
    assert [(str(m), m.level_tag) for m in get_messages(page_request)] == [
        ("Deployed.", "success"),
        ("Refused.", "error"),
    ]
