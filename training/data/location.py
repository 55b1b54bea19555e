"""Takes a data URI apart: where the data lies, and options after a question mark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiplatform.errors import InvalidInputError
from training.data.http import is_web_address


@dataclass(frozen=True, kw_only=True)
class DataLocation:
    """`place` is a name, a path or an s3://, gs:// or https:// URI; `options` are texts by name."""

    place: str
    options: Mapping[str, str]

    @property
    def path(self) -> str:
        """Return the place without what a web address says behind a question mark."""
        return self.place.partition("?")[0] if is_web_address(self.place) else self.place

    def take_option(self, name: str) -> tuple[DataLocation, str]:
        """Return the location without an option, and the option's value; '' if it is not given."""
        rest = {key: value for key, value in self.options.items() if key != name}
        return DataLocation(place=self.place, options=rest), self.options.get(name, "")

    def check_options(self, allowed: Iterable[str]) -> None:
        """Raise InvalidInputError if an option is not one of those that this kind of source takes."""
        known = set(allowed)
        for name in self.options:
            if name not in known:
                takes = ", ".join(sorted(known)) or "none"
                raise InvalidInputError(f"'{self.place}' takes no option '{name}'; its options: {takes}")


def parse_location(uri: str) -> DataLocation:
    """Return the parts of a data URI such as `s3://bucket/flowers?size=64x64` or `https://host/a.csv?b#sha256=...`.

    Raises: InvalidInputError if it is empty or an option has no value.
    """
    mark = "#" if is_web_address(uri) else "?"  # a web address keeps what is behind its own '?'
    place, _, query = uri.partition(mark)
    if not place.strip():
        raise InvalidInputError("a data URI must name a source, for example 'digits' or a path")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as error:
        raise InvalidInputError(f"'{uri}': options must read name=value&name=value") from error
    return DataLocation(place=place.strip(), options=options)
