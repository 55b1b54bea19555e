"""`manage.py resources`: what the machines have, who holds it, and who waits why."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from aiplatform.management.platform_command import PlatformCommand
from training.cli.resources import write_resources
from training.cli.streams import raw_stream
from training.resources.reporting import resource_record


class Command(PlatformCommand):
    """Show the ledger of cores, memory and GPUs."""

    help = "Show what the training machines have, which runs and endpoints hold it, and why runs wait."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object")

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        """Show it."""
        record = resource_record()
        if as_json:
            self.stdout.write(json.dumps(record, default=str))
        else:
            write_resources(raw_stream(self.stdout), record)
