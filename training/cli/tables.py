"""Tables of the commands: drawn in a terminal, tab-separated in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text


def write_table(out: TextIO, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under titles."""
    if not out.isatty():
        for row in (titles, *rows):
            out.write("\t".join(str(cell) for cell in row) + "\n")
        return
    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console(file=out).print(table)


def write_fields(out: TextIO, fields: Iterable[tuple[str, object]]) -> None:
    """Write name and value pairs, one a line."""
    pairs = [(name, str(value)) for name, value in fields if value not in ("", None)]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        out.write(f"{name:<{width}}  {value}\n")
