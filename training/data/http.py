"""Data from a web address: `https://host/table.csv#sha256=HEX`. What comes must have that checksum.

Options stand behind `#`, since what is behind `?` is the server's. Without a checksum the same order could train on
other data tomorrow, and nobody would see it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from aiplatform.errors import InvalidInputError, UnavailableError

SCHEMES = ("http://", "https://")
CHECKSUM = "sha256"
TIMEOUT_S = 60.0  # without a byte
MAX_REDIRECTS = 5
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_web_address(place: str) -> bool:
    """Say whether a place is fetched by HTTP."""
    return place.lower().startswith(SCHEMES)


def require_checksum(place: str, given: str) -> str:
    """Return the checksum in lower case.

    Raises: InvalidInputError unless it is 64 hexadecimal digits.
    """
    digest = given.strip().lower().removeprefix("sha256:")
    if not _DIGEST.fullmatch(digest):
        raise InvalidInputError(
            f"'{place}' needs its checksum behind a '#', as {CHECKSUM}= and 64 hexadecimal digits, not '{given:.80}'"
        )
    return digest


def fetch_file(place: str, digest: str, folder: Path) -> None:
    """Write the file at a web address into a folder, under its own name.

    Raises: UnavailableError if it cannot be fetched; InvalidInputError if it is not what the checksum says.
    """
    target = folder / _file_name(place)
    try:
        found = _download(place, target)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnavailableError(f"'{place}' cannot be fetched: {error or type(error).__name__}") from error
    if found != digest:
        raise InvalidInputError(f"'{place}' has the sha256 {found}, not {digest}: it is not the data that was named")


def _download(place: str, target: Path) -> str:
    digest = hashlib.sha256()
    with (
        httpx.Client(follow_redirects=True, max_redirects=MAX_REDIRECTS, timeout=TIMEOUT_S) as client,
        client.stream("GET", place) as response,
        target.open("wb") as file,
    ):
        response.raise_for_status()
        for chunk in response.iter_bytes(1024 * 1024):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _file_name(place: str) -> str:
    name = unquote(urlsplit(place).path).rsplit("/", 1)[-1]
    if name in ("", ".", "..") or "\x00" in name:
        raise InvalidInputError(f"'{place}' must end in a file's name, such as /table.csv")
    return name
