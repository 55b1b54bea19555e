"""What people type, as values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from aiplatform.errors import InvalidInputError

COMBINED = "all:"
_NAMED = ("sql:", "dataset:")
FILE = "file://"


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


def absolute_data_uri(text: str, *, known: Sequence[str] = ("digits", "mnist"), may_come: bool = False) -> str:
    """Return the source with a local path made absolute: the trainer runs in another folder.

    Raises: InvalidInputError for a path that is not here, unless it is absolute and may be on another machine that
    trains, or `may_come` later.
    """
    if text.startswith(COMBINED):
        parts = text.removeprefix(COMBINED).split("|")
        return COMBINED + "|".join(absolute_data_uri(part.strip(), known=known, may_come=may_come) for part in parts)
    place, mark, options = text.partition("?")
    is_file_uri = place.startswith(FILE)
    if not place.strip() or place in known or place.startswith(_NAMED) or ("://" in place and not is_file_uri):
        return text
    path = Path(place.removeprefix(FILE)).expanduser()
    if path.exists() or may_come:
        return text if is_file_uri else f"{path.resolve()}{mark}{options}"
    if not path.is_absolute():
        raise InvalidInputError(
            f"'{place}' is not in {Path.cwd()}, and no data set of that name comes along ({', '.join(known)}); "
            "data on another machine is named by its absolute path there"
        )
    if _trains_here():
        raise InvalidInputError(f"there is no '{place}' on this machine, which is the one that trains")
    return text


def _trains_here() -> bool:
    """Say whether no other machine can train: trainers start beside their queue, whose database is a file here."""
    return settings.TRAINING_LAUNCHER == "local" and connection.vendor == "sqlite"


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
