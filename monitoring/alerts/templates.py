"""Templates of messages: Django's language, cut down to what a message needs, over plain values only.

No template can load another, reach an object, a setting or a file, or make a text longer than what it
was given: tags are `if`, `for`, `with`, `comment`; filters are those listed here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from django.template import Context, Engine, Library, TemplateSyntaxError
from django.template import defaultfilters as filters
from django.template import defaulttags as tags

from aiplatform.errors import InvalidInputError

LONGEST_RESULT = 20_000
register = Library()
for _name, _tag in {"if": tags.do_if, "for": tags.do_for, "with": tags.do_with, "comment": tags.comment}.items():
    register.tag(_name, _tag)
for _filter in (
    filters.upper, filters.lower, filters.title, filters.capfirst, filters.default, filters.default_if_none,
    filters.length, filters.join, filters.truncatechars, filters.pluralize, filters.date, filters.first, filters.last,
    filters.yesno, filters.floatformat,
):  # fmt: skip
    register.filter(_filter.__name__.removesuffix("_filter"), _filter)


class _MessageEngine(Engine):
    """An engine that knows the words of this module and no others."""

    default_builtins: ClassVar[list[str]] = [__name__]


def render_template(source: str, values: Mapping[str, Any]) -> str:
    """Return a template filled in.

    Raises: InvalidInputError naming what is wrong with it.
    """
    try:
        text = _compile(source).render(Context(dict(values), autoescape=False))
    except (TemplateSyntaxError, ValueError, TypeError, OverflowError, AttributeError, LookupError) as error:
        raise InvalidInputError(f"the template: {error}") from error
    return text if len(text) <= LONGEST_RESULT else f"{text[:LONGEST_RESULT]} ..."


@functools.lru_cache(maxsize=256)
def _compile(source: str) -> Any:
    return _engine().from_string(source)


@functools.cache
def _engine() -> Engine:
    return _MessageEngine(dirs=[], app_dirs=False, loaders=[], libraries={}, autoescape=False)
