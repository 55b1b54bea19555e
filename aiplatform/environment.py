"""Reads the environment for the settings, and remembers what each variable means.

The list of variables in docs/settings.md is written from here, so it cannot be out of date.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aiplatform.errors import InvalidConfigurationError

T = TypeVar("T")
_TRUE, _FALSE = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable as the documentation shows it."""

    name: str
    kind: str
    default: str
    help: str
    section: str


class Environment:
    """Typed reads of environment variables (and of a `.env` file, which they override).

    A read raises InvalidConfigurationError, naming the variable, for a value of another type.
    """

    def __init__(self, dotenv: Path) -> None:
        if dotenv.exists():
            from dotenv import load_dotenv

            load_dotenv(dotenv)  # into this process's environment, so that its children have it too
        self._section = ""
        self.variables: list[Variable] = []

    def section(self, title: str) -> None:
        """Start a group of variables in the documentation."""
        self._section = title

    def text(self, name: str, default: str, help: str, *, shown: str | None = None) -> str:
        """Read a string. `shown` replaces the default in the documentation."""
        return self._read(str, "text", name, default, help, shown)

    def items(self, name: str, default: list[str], help: str, *, shown: str | None = None) -> list[str]:
        """Read a comma-separated list; blanks around its items are no part of them."""
        text = ",".join(default) if shown is None else shown
        return list(self._read(_to_items, "list", name, default, help, text))

    def flag(self, name: str, default: bool, help: str) -> bool:
        """Read a truth value (1, 0, true, false, yes, no, on, off)."""
        return self._read(_to_flag, "flag", name, default, help, str(int(default)))

    def integer(self, name: str, default: int, help: str) -> int:
        """Read a whole number."""
        return self._read(int, "integer", name, default, help, None)

    def number(self, name: str, default: float, help: str) -> float:
        """Read a finite number."""
        return float(self._read(_to_number, "number", name, default, help, None))

    def _read(self, convert: Callable[[str], T], kind: str, name: str, default: T, help: str, shown: str | None) -> T:
        text = str(default) if shown is None else shown
        self.variables.append(Variable(name=name, kind=kind, default=text, help=help, section=self._section))
        given = os.environ.get(name)
        if given is None:
            return default
        try:
            return convert(given)
        except ValueError as error:
            rule = _RULES[kind]
            raise InvalidConfigurationError(f"environment variable {name} must be {rule}, not '{given}'") from error


_RULES = {
    "flag": "1, 0, true, false, yes, no, on or off",
    "integer": "a whole number",
    "number": "a finite number",
}


def _to_items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text else []


def _to_flag(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(word)
    return word in _TRUE


def _to_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
