"""Takes a data URI apart: where the data lies, and options after a question mark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiplatform.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class DataLocation:
    """`place` is a name, a path or an s3:// or gs:// URI; `options` are texts by name."""

    place: str
    options: Mapping[str, str]

    def check_options(self, allowed: Iterable[str]) -> None:
        """Raise InvalidInputError if an option is not one of those that this kind of source takes."""
        known = set(allowed)
        for name in self.options:
            if name not in known:
                takes = ", ".join(sorted(known)) or "none"
                raise InvalidInputError(f"'{self.place}' takes no option '{name}'; its options: {takes}")


def parse_location(uri: str) -> DataLocation:
    """Return the parts of a data URI such as `s3://bucket/flowers?size=64x64`.

    Raises: InvalidInputError if it is empty or an option has no value.
    """
    place, _, query = uri.partition("?")
    if not place.strip():
        raise InvalidInputError("a data URI must name a source, for example 'digits' or a path")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as error:
        raise InvalidInputError(f"'{uri}': options must read name=value&name=value") from error
    return DataLocation(place=place.strip(), options=options)
