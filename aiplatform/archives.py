"""Zip files of models, opened only when what is in them can be held."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiplatform.errors import InvalidInputError

LARGEST_RATIO = 100  # models are stored or hardly compress; a bomb's ratio is 1000 and more
_SMALL_BYTES = 64 * 2**20


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Give a zip file whose members together are not absurdly larger than the file.

    Raises: InvalidInputError if it is no zip file, is cut, or is a decompression bomb.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise InvalidInputError(f"'{path.name}' is cut, or no archive: {error}") from error
    with archive:
        size_bytes = sum(member.file_size for member in archive.infolist())
        limit = max(_SMALL_BYTES, LARGEST_RATIO * path.stat().st_size)
        if size_bytes > limit:
            raise InvalidInputError(
                f"'{path.name}' would unpack to {size_bytes} bytes, over {LARGEST_RATIO} times its size; "
                "it is not opened"
            )
        yield archive
