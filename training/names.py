"""The names that people choose: of models, endpoints and aliases."""

from __future__ import annotations

import re

from aiplatform.contracts.predict import RESERVED_NAMES
from aiplatform.errors import InvalidInputError

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,62}"
_NAME = re.compile(NAME_PATTERN)
LATEST = "latest"  # not an alias: always the newest version


def check_name(kind: str, name: str) -> str:
    """Return the name.

    Raises: InvalidInputError naming the rule; `kind` says what the name is of.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{kind} name must be 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit, not '{name}'"
        )
    return name


def check_public_name(kind: str, name: str) -> str:
    """Return the name of a model or an endpoint: it stands in the paths of the predict protocols.

    Raises: InvalidInputError as `check_name`, or if a protocol uses the word.
    """
    check_name(kind, name)
    if name in RESERVED_NAMES:
        raise InvalidInputError(f"{kind} name '{name}' is reserved: it is a word of the predict protocols")
    return name


def check_alias(name: str) -> str:
    """Return the alias.

    Raises: InvalidInputError if it could be taken for a version number or for 'latest'.
    """
    check_name("alias", name)
    if name == LATEST or name.isdigit():
        raise InvalidInputError(f"alias '{name}' is reserved: 'latest' and numbers name versions by themselves")
    return name
