"""What has been written survives a power cut once the disk says so."""

from __future__ import annotations

import os
from pathlib import Path


def sync_to_disk(*paths: Path) -> None:
    """Wait until files, or the names in folders, are on the disk; in the order given. Raises: OSError."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
