"""The words for a registered data set in a data URI: `dataset:NAME`, `dataset:NAME@VERSION`, with options."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiplatform.errors import InvalidInputError
from training.data.http import is_web_address

PREFIX = "dataset:"
LATEST = "latest"
_REFERENCE = re.compile(r"dataset:(?P<name>[A-Za-z0-9][\w.-]{0,62})(@(?P<version>\d{1,9}|latest))?(\?(?P<options>.*))?")


@dataclass(frozen=True, kw_only=True)
class DatasetReference:
    """Which version, 'latest' if none is named, and the options that the order adds."""

    name: str
    version: str
    options: str = ""

    def pinned(self, version: int) -> str:
        """Return the data URI of one version."""
        return f"{PREFIX}{self.name}@{version}" + (f"?{self.options}" if self.options else "")


def is_registered(uri: str) -> bool:
    """Say whether a data URI names a registered data set."""
    return uri.startswith(PREFIX)


def parse_reference(uri: str) -> DatasetReference:
    """Return the parts of `dataset:NAME@VERSION?option=value`.

    Raises: InvalidInputError if it is not of that form.
    """
    match = _REFERENCE.fullmatch(uri)
    if match is None:
        raise InvalidInputError(f"a registered data set is named dataset:NAME or dataset:NAME@VERSION, not '{uri}'")
    return DatasetReference(name=match["name"], version=match["version"] or LATEST, options=match["options"] or "")


def add_options(source_uri: str, options: str) -> str:
    """Return a source's URI with further options; of one that is given twice the later counts."""
    if not options:
        return source_uri
    mark = "#" if is_web_address(source_uri) else "?"
    return f"{source_uri}{'&' if mark in source_uri else mark}{options}"
