"""Reads the environment for `settings.py`, and remembers what each variable means.

The list of variables in docs/settings.md is written from here, so it cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environs import Env


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable as the documentation shows it."""

    name: str
    kind: str
    default: str
    help: str
    section: str


class Environment:
    """Typed reads of environment variables (and of a `.env` file, which they override)."""

    def __init__(self, dotenv: Path) -> None:
        self._env = Env()
        if dotenv.exists():
            self._env.read_env(str(dotenv), recurse=False)
        self._section = ""
        self.variables: list[Variable] = []

    def section(self, title: str) -> None:
        """Start a group of variables in the documentation."""
        self._section = title

    def text(self, name: str, default: str, help: str, *, shown: str | None = None) -> str:
        """Read a string. `shown` replaces the default in the documentation."""
        return str(self._read(self._env.str, "text", name, default, help, shown))

    def items(self, name: str, default: list[str], help: str, *, shown: str | None = None) -> list[str]:
        """Read a comma-separated list."""
        text = ",".join(default) if shown is None else shown
        return list(self._read(self._env.list, "list", name, default, help, text))

    def flag(self, name: str, default: bool, help: str) -> bool:
        """Read a truth value (1, 0, true, false, yes, no)."""
        return bool(self._read(self._env.bool, "flag", name, default, help, str(int(default))))

    def integer(self, name: str, default: int, help: str) -> int:
        """Read a whole number."""
        return int(self._read(self._env.int, "integer", name, default, help, None))

    def number(self, name: str, default: float, help: str) -> float:
        """Read a number."""
        return float(self._read(self._env.float, "number", name, default, help, None))

    def _read(self, read: Callable[..., Any], kind: str, name: str, default: Any, help: str, shown: str | None) -> Any:
        text = str(default) if shown is None else shown
        self.variables.append(Variable(name=name, kind=kind, default=text, help=help, section=self._section))
        return read(name, default)
