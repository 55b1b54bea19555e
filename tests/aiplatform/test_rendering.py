"""Large answers are written as the framework writes them."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils.functional import lazystr
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.serializer_helpers import ReturnList

from aiplatform.http.rendering import QuickJSONRenderer

PLAIN = [
    None,
    [],
    {"epoch": 1, "values": {"loss": 1e-05, "näme": 0.1}, "none": None, "yes": True},
    [{"at": datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)}, {"at": datetime(2026, 3, 1, 12, tzinfo=UTC)}],
    {"id": uuid.UUID(int=5), "price": Decimal("1.50"), "text": lazystr("later"), "line": "a\u2028b"},
    {"large": 2**70},
    {1: "a number for a name"},
]


@pytest.mark.parametrize("data", PLAIN)
def test_it_says_what_the_framework_says(data: Any) -> None:
    found, expected = QuickJSONRenderer().render(data), JSONRenderer().render(data)
    assert found == expected or json.loads(found) == json.loads(expected)


def test_a_serializers_list_is_a_list() -> None:
    data = ReturnList([{"a": 1}], serializer=serializers.Serializer())
    assert QuickJSONRenderer().render(data) == b'[{"a":1}]'


def test_numbers_that_json_has_not_are_null() -> None:
    assert json.loads(QuickJSONRenderer().render([float("nan"), float("inf")])) == [None, None]


def test_an_indent_is_kept() -> None:
    written = QuickJSONRenderer().render({"a": 1}, "application/json; indent=4", {})
    assert written == JSONRenderer().render({"a": 1}, "application/json; indent=4", {}) == b'{\n    "a": 1\n}'
