"""What a list's rows share is made once."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from unfold.templatetags import unfold_list

from aiplatform.console.lists import _remembering, draw_headers_once
from training.models import Run, RunTag


def test_headers_are_made_once_for_each_list() -> None:
    made: list[Any] = []

    def make(shown: Any) -> Iterator[dict[str, Any]]:
        made.append(shown)
        yield {"text": shown.name}

    headers = _remembering(make)
    one, other = SimpleNamespace(name="one"), SimpleNamespace(name="other")
    assert [headers(shown) for shown in (one, other, one)] == [
        [{"text": "one"}],
        [{"text": "other"}],
        [{"text": "one"}],
    ]
    assert made == [one, other]


def test_the_console_draws_them_so_and_asking_twice_changes_nothing() -> None:
    drawing = unfold_list.result_headers
    assert drawing.is_remembering
    draw_headers_once()
    assert unfold_list.result_headers is drawing


@pytest.mark.django_db
def test_a_list_of_runs_has_boxes_and_tags_and_asks_no_more_for_more_runs(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    def ask() -> str:
        answer = admin_client.get("/admin/training/run/")
        assert answer.status_code == 200
        return answer.content.decode()

    runs = [Run.objects.create(recipe="r", data_uri="digits", model_name="m") for _ in range(2)]
    RunTag.objects.bulk_create([RunTag(run=runs[0], name=name) for name in ("zeta", "alpha")])
    page = ask()
    for run in runs:
        assert page.count(f'value="{run.pk}"') == 1
    assert 'data-label="Tags">alpha, zeta</td>' in page and 'data-label="Tags">-</td>' in page
    with django_assert_max_num_queries(100) as few:
        ask()
    made = Run.objects.bulk_create([Run(recipe="r", data_uri="digits", model_name="m") for _ in range(20)])
    RunTag.objects.bulk_create([RunTag(run=run, name="later") for run in made])
    with django_assert_max_num_queries(len(few.captured_queries)):
        assert ask().count('data-label="Tags">later</td>') == 20
