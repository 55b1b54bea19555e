"""What people type, as values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aiplatform.errors import InvalidInputError


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
    if text in known or "://" in text:
        return text
    path = Path(text).expanduser()
    return str(path.resolve()) if path.exists() else text
