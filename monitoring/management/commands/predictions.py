"""`manage.py predictions`: export what is stored, ask it in SQL, show one, delete, tidy up."""

from __future__ import annotations

import getpass
import json
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser

from aiplatform.errors import PlatformError
from aiplatform.management.platform_command import PlatformCommand
from aiplatform.predictions.files import StoredFile
from monitoring.lineage import trace_prediction, trace_to_dict
from monitoring.store.asking import ask_store
from monitoring.store.deletion import delete_predictions
from monitoring.store.exporting import FORMATS, ExportOrder, export_rows
from monitoring.store.maintenance import tidy_store


class Command(PlatformCommand):
    """Work with the prediction store."""

    help = "The prediction store: export, query, show, delete, tidy."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        export = commands.add_parser("export", help="write a period as CSV or Parquet")
        query = commands.add_parser("query", help="ask a period in SQL; its rows are the table 'predictions'")
        for command in (export, query):
            command.add_argument("endpoint")
            command.add_argument("--since", type=_time, help="ISO time, UTC unless it says so (a day ago)")
            command.add_argument("--until", type=_time, help="ISO time (now)")
        export.add_argument("--version", dest="model_version", type=int, help="only this version")
        export.add_argument("--format", choices=sorted(FORMATS), default="csv")
        export.add_argument("--output", default="-", help="a file, or - for the standard output")
        query.add_argument("sql")
        show = commands.add_parser("show", help="everything behind a prediction, as JSON")
        show.add_argument("prediction_id")
        delete = commands.add_parser("delete", help="forget predictions, by id or by subject")
        delete.add_argument("prediction_ids", nargs="*", metavar="ID")
        delete.add_argument("--subject", default="", help="whom they are about, as X-Subject-Id had it")
        delete.add_argument("--reason", default="", help="for the record")
        commands.add_parser("tidy", help="do now what the clock does: deletions, retention, compaction")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        self._problems: list[str] = []
        try:
            getattr(self, f"_{options['action']}")(options)
        except PlatformError as error:
            raise CommandError(error.message) from error
        if self._problems:
            raise CommandError(f"{len(self._problems)} damaged files were left out")

    def _export(self, options: dict[str, Any]) -> None:
        since, until = _period(options)
        order = ExportOrder(
            endpoint=options["endpoint"], since=since, until=until, form=options["format"],
            version=options["model_version"],
        )  # fmt: skip
        chunks = export_rows(order, on_problem=self._note)
        with _output(options["output"]) as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
        if options["output"] != "-":
            self.stdout.write(f"{options['output']}: {Path(options['output']).stat().st_size:,} bytes")

    def _query(self, options: dict[str, Any]) -> None:
        since, until = _period(options)
        answer = ask_store(options["endpoint"], options["sql"], since=since, until=until, on_problem=self._note)
        self.stdout.write("\t".join(answer.columns))
        for row in answer.rows:
            self.stdout.write("\t".join("" if value is None else str(value) for value in row))
        if answer.is_cut:
            self.stderr.write(f"only the first {len(answer.rows)} rows are shown")

    def _show(self, options: dict[str, Any]) -> None:
        trace = trace_to_dict(trace_prediction(options["prediction_id"]))
        self.stdout.write(json.dumps(trace, indent=2, default=str))

    def _delete(self, options: dict[str, Any]) -> None:
        order = delete_predictions(
            prediction_ids=options["prediction_ids"], subject=options["subject"], by=f"command line: {_user()}",
            reason=options["reason"],
        )  # fmt: skip
        self.stdout.write(
            f"deletion {order.pk} is {order.state}: {order.predictions} predictions, {order.stored_rows} stored rows, "
            f"{order.index_rows} rows of the index, {order.feedback_rows} of feedback"
        )
        if order.error:
            self.stderr.write(order.error)

    def _tidy(self, options: dict[str, Any]) -> None:
        done = tidy_store()
        self.stdout.write(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in done.items()) or "busy")

    def _note(self, file: StoredFile, error: PlatformError) -> None:
        self._problems.append(error.message)
        self.stderr.write(error.message)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _period(options: dict[str, Any]) -> tuple[datetime, datetime]:
    until = options["until"] or datetime.now(UTC)
    return options["since"] or until - timedelta(days=1), until


def _output(name: str) -> Any:
    stream: BinaryIO = sys.stdout.buffer
    return nullcontext(stream) if name == "-" else Path(name).open("wb")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
