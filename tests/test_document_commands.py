"""The commands in the pages are accepted as they stand there: command, arguments and their values."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_CALL = re.compile(r"^(?:\S+=\S* +)*(?:python3? )?manage\.py +(.*)$")
_ENDS = {";", "|", ">", "&&", "&"}  # where the shell begins something else


def commands_of(page: Path) -> list[str]:
    """Return what stands behind `manage.py` in a page's blocks of code, each call on one line."""
    blocks = "\n".join(line[4:] for line in page.read_text().splitlines() if line.startswith("    "))
    found = []
    for line in re.sub(r"\\\n\s*", " ", blocks).splitlines():
        for part in re.split(r";\s+(?=python manage\.py)", line.removeprefix("$ ")):
            call = _CALL.match(part.strip())
            if call is not None:
                found.append(call[1])
    return found


def arguments_of(call: str) -> list[str]:
    """Return the arguments as a shell gives them."""
    words = shlex.split(call, comments=True)
    ends = [place for place, word in enumerate(words) if word in _ENDS]
    return words[: ends[0]] if ends else words


CALLS = [
    pytest.param(call, id=f"{page.stem}: {call[:60]}") for page in PAGES for call in dict.fromkeys(commands_of(page))
]


def test_there_are_commands_in_the_pages() -> None:
    assert len(CALLS) > 80


@pytest.mark.parametrize("call", CALLS)
def test_a_documented_command_is_accepted(call: str) -> None:
    name, *arguments = arguments_of(call)
    app = get_commands()[name]
    command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    command.create_parser("manage.py", name).parse_args(arguments)
