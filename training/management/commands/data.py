"""`manage.py data`: make data sets of the project's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aiplatform.errors import InvalidInputError
from training.cli import exit_codes
from training.data.road_scenes import write_road_scenes

_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")
MAKERS = {"road-scenes": write_road_scenes}


class Command(BaseCommand):
    """Make data sets."""

    help = "Make data sets to try recipes on: generate."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        generate = commands.add_parser("generate", help="write a made-up data set into a folder")
        generate.add_argument("kind", choices=sorted(MAKERS))
        generate.add_argument("--to", required=True, metavar="DIR", help="a new or empty folder")
        generate.add_argument("--count", type=int, default=1000, help="how many pictures")
        generate.add_argument("--seed", type=int, default=0)
        generate.add_argument("--size", default="96x128", metavar="HEIGHTxWIDTH", help="of a picture, in pixels")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Do the action; bad input becomes one line and an exit code."""
        try:
            getattr(self, f"_{action}")(**options)
        except InvalidInputError as error:
            raise CommandError(error.message, returncode=exit_codes.USAGE) from error

    def _generate(self, *, kind: str, to: str, count: int, seed: int, size: str, **options: Any) -> None:
        match = _SIZE.fullmatch(size)
        if match is None:
            raise InvalidInputError(f"--size must be HEIGHTxWIDTH in pixels, not '{size}'")
        MAKERS[kind](Path(to), count=count, seed=seed, height=int(match[1]), width=int(match[2]))
        self.stdout.write(f"wrote {count} pictures to {to}")
