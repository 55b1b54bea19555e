"""Opens one file of the store, wherever it lies; what is damaged is refused with the file's name."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiplatform.errors import ArtifactCorruptError, PlatformError
from aiplatform.late import late_module
from aiplatform.predictions.files import read_whole
from aiplatform.storage import is_remote, open_filesystem, store_errors

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet
else:
    pa = late_module("pyarrow")
    parquet = late_module("pyarrow.parquet")

AT_ONCE_BYTES = 64 * 1024 * 1024  # a file in an object store is fetched in one request up to this size


@contextmanager
def open_parquet(uri: str, *, size_bytes: int = 0) -> Iterator[Any]:
    """Give a Parquet file whose pages are checked as they are read.

    Raises: ArtifactError if the store cannot be read; ArtifactCorruptError if the file is damaged, also from
    within the block.
    """
    source = _source(uri, size_bytes)
    try:
        with source, parquet.ParquetFile(source, page_checksum_verification=True) as file:
            yield file
    except PlatformError:
        raise
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise ArtifactCorruptError(f"{uri} is damaged and is left out: {str(error).splitlines()[0][:300]}") from error


def _source(uri: str, size_bytes: int) -> Any:
    if is_remote(uri) and 0 < size_bytes <= AT_ONCE_BYTES:
        return io.BytesIO(read_whole(uri))
    with store_errors(f"could not read {uri}"):
        filesystem, path = open_filesystem(uri)
        return filesystem.open(path, "rb")
