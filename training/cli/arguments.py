"""What people type, as values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiplatform.errors import InvalidInputError

COMBINED = "all:"
_NAMED = ("sql:", "dataset:")


def parse_settings(pairs: Sequence[str]) -> dict[str, str]:
    """Return the parameters of `--set key=value ...`.

    Raises: InvalidInputError naming what is not of that form, or given twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidInputError(f"--set takes key=value, not '{pair}'")
        if key in values:
            raise InvalidInputError(f"--set gives '{key}' twice")
        values[key] = value
    return values


def absolute_data_uri(text: str, *, known: Sequence[str] = ("digits", "mnist")) -> str:
    """Return the source with a local path made absolute: the trainer runs in another folder."""
    if text.startswith(COMBINED):
        parts = text.removeprefix(COMBINED).split("|")
        return COMBINED + "|".join(absolute_data_uri(part.strip(), known=known) for part in parts)
    place, mark, options = text.partition("?")
    if place in known or "://" in place or place.startswith(_NAMED):
        return text
    path = Path(place).expanduser()
    return f"{path.resolve()}{mark}{options}" if path.exists() else text


def read_parameters(options: dict[str, Any]) -> dict[str, Any]:
    """Return what `--set`, `--workers` and `--backend` say.

    Raises: InvalidInputError if they say the same twice.
    """
    given: dict[str, Any] = dict(parse_settings([pair for group in options["pairs"] for pair in group]))
    for name in ("workers", "backend"):
        if options.get(name) is None:
            continue
        if name in given:
            raise InvalidInputError(f"--{name} and --set {name}=... say the same; give one of them")
        given[name] = options[name]
    return given
