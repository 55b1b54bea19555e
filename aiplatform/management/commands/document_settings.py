"""`manage.py document_settings`: the tables of docs/settings.md, out of the settings themselves."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aiplatform.settings import env

BEGIN = "<!-- variables: begin (written by `make docs`) -->"
END = "<!-- variables: end -->"


class Command(BaseCommand):
    """Print the tables, write them into a page, or check that a page has them."""

    help = "Print the table of environment variables, or --write / --check it in a page."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--write", type=Path, help="replace the tables in this page")
        parser.add_argument("--check", type=Path, help="fail if this page's tables are out of date")

    def handle(self, *args: Any, write: Path | None, check: Path | None, **options: Any) -> None:
        """Do one of the three."""
        tables = variable_tables()
        if write:
            write.write_text(_with_tables(write.read_text(), tables))
        elif check:
            page = check.read_text()
            if page != _with_tables(page, tables):
                raise CommandError(f"{check} is out of date; run 'make docs'")
        else:
            self.stdout.write(tables)


def variable_tables() -> str:
    """Return one Markdown table a section."""
    parts = []
    for section, variables in groupby(env.variables, key=lambda variable: variable.section):
        rows = [
            f"| `{v.name}` | {v.kind} | {f'`{v.default}`' if v.default else 'empty'} | {v.help} |".replace("\n", " ")
            for v in variables
        ]
        parts.append(
            "\n".join([f"### {section}", "", "| variable | kind | default | meaning |", "|---|---|---|---|", *rows])
        )
    return "\n\n".join(parts)


def _with_tables(page: str, tables: str) -> str:
    try:
        before, rest = page.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
    except (ValueError, IndexError) as error:
        raise CommandError(f"the page lacks the lines '{BEGIN}' and '{END}'") from error
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"
