"""The stream behind a command's output: progress bars must write to it without Django's line ends."""

from __future__ import annotations

from typing import TextIO, cast

from django.core.management.base import OutputWrapper


def raw_stream(wrapper: OutputWrapper) -> TextIO:
    """Return the stream that a command's stdout or stderr wraps."""
    return cast(TextIO, vars(wrapper)["_out"])
