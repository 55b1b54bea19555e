"""Matchers of labels as Alertmanager has them: name=value, name!=value, name=~regex, name!~regex.

A regular expression is RE2's, as there, and must match the whole value; a label that is not there
counts as the empty text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from aiplatform.errors import InvalidInputError

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
LONGEST = 1000
_FORM = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Matcher:
    """One condition on one label."""

    name: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether the labels fulfil it."""
        value = labels.get(self.name, "")
        if self.operator in ("=", "!="):
            return (value == self.value) is (self.operator == "=")
        return bool(_pattern(self.value).fullmatch(value)) is (self.operator == "=~")

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.operator}"{escaped}"'


def parse_matcher(text: str) -> Matcher:
    """Return the matcher that a text says, in amtool's way: `name="value"`; quotes may be left out.

    Raises: InvalidInputError naming the text.
    """
    found = _FORM.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        raise InvalidInputError(
            f"a matcher is name=\"value\", !=, =~ or !~ (at most {LONGEST} letters), not '{text[:80]}'"
        )
    name, operator, value = found.groups()
    if value.startswith('"'):
        value = _unquote(value, text)
    if "~" in operator:
        _check_pattern(value)
    return Matcher(name, operator, value)


@functools.lru_cache(maxsize=2048)
def parse_matchers(texts: tuple[str, ...]) -> tuple[Matcher, ...]:
    """Return the matchers of a row.

    Raises: InvalidInputError.
    """
    return tuple(parse_matcher(text) for text in texts)


def all_match(texts: Iterable[str], labels: Mapping[str, str]) -> bool:
    """Say whether labels fulfil every matcher; no matcher at all: they do."""
    return all(matcher.matches(labels) for matcher in parse_matchers(tuple(texts)))


def matcher_problems(field: str, texts: Any, *, is_needed: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (field, message) for what is wrong with a list of matchers.

    With `is_needed` one of them must refuse the empty text, so that no list matches everything, as in Alertmanager.
    """
    if not isinstance(texts, Sequence) or isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        yield field, 'must be a list of texts such as endpoint="digits"'
        return
    try:
        matchers = parse_matchers(tuple(texts))
    except InvalidInputError as error:
        yield field, error.message
        return
    if is_needed and all(matcher.matches({}) for matcher in matchers):
        yield (
            field,
            'needs at least one matcher that does not match everything, such as endpoint="digits" or endpoint=~".+"',
        )


def label_name_problems(field: str, names: Any, *, also: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield (field, message) unless `names` is a list of label names."""
    if not isinstance(names, Sequence) or isinstance(names, str):
        yield field, "must be a list of label names"
        return
    for name in names:
        if not isinstance(name, str) or (name not in also and not LABEL_NAME.fullmatch(name)):
            yield field, f"a label name is letters, digits and '_', and no digit first, not '{name}'"
            return


def split_matchers(text: str) -> list[str]:
    """Return the matchers of a text with one a line, each in its full form.

    Raises: InvalidInputError.
    """
    return [str(parse_matcher(line)) for line in text.splitlines() if line.strip()]


def _unquote(value: str, text: str) -> str:
    if len(value) < 2 or not value.endswith('"') or re.search(r'(?<!\\)(?:\\\\)*"', value[1:-1]):
        raise InvalidInputError(f"the quotes do not close in '{text[:80]}'")
    plain = {"n": "\n", "\\": "\\", '"': '"'}
    return re.sub(r"\\(.)", lambda found: plain.get(found[1], found[0]), value[1:-1])


@functools.lru_cache(maxsize=2048)
def _pattern(value: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(value, options)


def _check_pattern(value: str) -> None:
    try:
        _pattern(value)
    except re2.error as error:
        raise InvalidInputError(f"'{value[:80]}' is no regular expression of RE2: {_text(error)}") from error


def _text(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
