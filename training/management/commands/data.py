"""`manage.py data`: register data sets, list and show their versions, compare two of them, make some to try."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.management.platform_command import PlatformCommand
from training import dataset_registry
from training.api.data_serializers import DatasetDifferenceSerializer, DatasetVersionSerializer
from training.cli import exit_codes
from training.cli.actor import command_line_actor
from training.cli.arguments import absolute_data_uri
from training.cli.streams import raw_stream
from training.cli.tables import write_fields, write_table
from training.cli.texts import age_text, source_sentences
from training.data.registered import LATEST
from training.data.road_scenes import write_road_scenes
from training.dataset_models import DatasetVersion
from training.dataset_registry import DatasetDifference

_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")
MAKERS = {"road-scenes": write_road_scenes}


class Command(PlatformCommand):
    """Keep data sets by name and version."""

    help = "Data sets: register, list, show, diff, generate."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        register = commands.add_parser("register", help="read a source and keep what it is as the next version")
        register.add_argument("name")
        register.add_argument("--data", required=True, help="digits, mnist, a path, s3://, gs://, https:// or sql:")
        register.add_argument("--target", default="", help="the column to predict, for tables")
        register.add_argument("--description", default="")
        listing = commands.add_parser("list", help="list data sets, or the versions of one")
        listing.add_argument("name", nargs="?", default="")
        show = commands.add_parser("show", help="show a version: NAME or NAME@VERSION")
        show.add_argument("name")
        diff = commands.add_parser("diff", help="compare two versions: NAME@1 NAME@2, or NAME@1 with the newest")
        diff.add_argument("before")
        diff.add_argument("after", nargs="?", default="")
        generate = commands.add_parser("generate", help="write a made-up data set into a folder")
        generate.add_argument("kind", choices=sorted(MAKERS))
        generate.add_argument("--to", required=True, metavar="DIR", help="a new or empty folder")
        generate.add_argument("--count", type=int, default=1000, help="how many pictures")
        generate.add_argument("--seed", type=int, default=0)
        generate.add_argument("--size", default="96x128", metavar="HEIGHTxWIDTH", help="of a picture, in pixels")
        for command in commands.choices.values():
            command.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Do the action; a PlatformError becomes one line and an exit code."""
        if options["verbosity"] < 2:
            logging.getLogger().setLevel(logging.WARNING)  # the lines say it already
        try:
            getattr(self, f"_{action}")(**options)
        except InvalidInputError as error:
            raise CommandError(error.message, returncode=exit_codes.USAGE) from error
        except PlatformError as error:
            raise CommandError(error.message, returncode=exit_codes.FAILED) from error

    def _generate(self, *, kind: str, to: str, count: int, seed: int, size: str, **options: Any) -> None:
        match = _SIZE.fullmatch(size)
        if match is None:
            raise InvalidInputError(f"--size must be HEIGHTxWIDTH in pixels, not '{size}'")
        MAKERS[kind](Path(to), count=count, seed=seed, height=int(match[1]), width=int(match[2]))
        self.stdout.write(f"wrote {count} pictures to {to}")

    def _register(self, *, name: str, data: str, target: str, description: str, as_json: bool, **options: Any) -> None:
        version, is_new = dataset_registry.register_dataset(
            name=name,
            uri=absolute_data_uri(data),
            target=target,
            description=description,
            actor=command_line_actor(),
        )
        if as_json:
            self._write_json({**_record(version), "is_new": is_new})
            return
        for sentence in source_sentences(version.report):
            self.stdout.write(sentence)
        word = "is" if is_new else "has not changed: it is"
        self.stdout.write(f"{name} {word} {version} with {version.rows} rows, {version.fingerprint}")
        self.stdout.write(f"train on it with: manage.py train run RECIPE --data dataset:{version}")

    def _list(self, *, name: str, as_json: bool, **options: Any) -> None:
        if name:
            dataset_registry.get_dataset(name)
            self._list_versions(name, as_json)
            return
        found = list(dataset_registry.list_datasets())
        if as_json:
            for dataset in found:
                self._write_json({"dataset": dataset.name, "last_version": dataset.last_version})
            return
        rows = [(d.name, d.last_version, age_text(d.created_at), d.description) for d in found]
        write_table(raw_stream(self.stdout), ("DATA SET", "NEWEST", "CREATED", "DESCRIPTION"), rows)

    def _list_versions(self, name: str, as_json: bool) -> None:
        versions = list(dataset_registry.list_versions(name))
        if as_json:
            for version in versions:
                self._write_json(_record(version))
            return
        rows = [(v.version, v.kind, v.rows, v.fingerprint[:19], v.source_uri, age_text(v.created_at)) for v in versions]
        titles = ("VERSION", "KIND", "ROWS", "FINGERPRINT", "SOURCE", "CREATED")
        write_table(raw_stream(self.stdout), titles, rows)

    def _show(self, *, name: str, as_json: bool, **options: Any) -> None:
        version = _version(name)
        if as_json:
            self._write_json({**_record(version), "schema": version.schema, "report": version.report})
            return
        write_fields(raw_stream(self.stdout), list(_record(version).items()))
        for entry in version.schema["inputs"]:
            self.stdout.write(f"input {entry['name']}  {entry['dtype']} {entry['shape']}")
        for label, count in version.schema["labels"].items():
            self.stdout.write(f"class {label}  {count} rows")
        for sentence in source_sentences(version.report):
            self.stdout.write(sentence)

    def _diff(self, *, before: str, after: str, as_json: bool, **options: Any) -> None:
        first = _version(before)
        second = _version(after or first.dataset.name)
        found = dataset_registry.compare_versions(first, second)
        if as_json:
            self._write_json(DatasetDifferenceSerializer(found).data)
            return
        self._write_difference(found)

    def _write_difference(self, found: DatasetDifference) -> None:
        same = "the same content" if found.is_same_content else "different content"
        self.stdout.write(f"{found.before} and {found.after}: {same}, {found.rows[0]} and {found.rows[1]} rows")
        for word, names in (
            ("added", found.added_inputs), ("removed", found.removed_inputs), ("of another kind", found.changed_inputs),
        ):  # fmt: skip
            self.stdout.write(f"inputs {word}: {', '.join(names)}" if names else f"inputs {word}: none")
        self.stdout.write(f"classes added: {', '.join(found.added_labels) or 'none'}")
        self.stdout.write(f"classes removed: {', '.join(found.removed_labels) or 'none'}")
        table = found.drift
        self.stdout.write(f"drift: {table['verdict']}; {table['drifted_count']} of {table['judged_count']} features")
        write_table(raw_stream(self.stdout), ("COLUMN", "VERDICT", "TESTS"), [
            (column["column"], column["verdict"], _tests_text(column))
            for column in (*table["features"], *table["predictions"])
        ])  # fmt: skip

    def _write_json(self, record: Any) -> None:
        self.stdout.write(json.dumps(record, default=str))


def _version(text: str) -> DatasetVersion:
    name, _, reference = text.removeprefix("dataset:").partition("@")
    return dataset_registry.get_version(name, reference or LATEST)


def _record(version: DatasetVersion) -> dict[str, Any]:
    return dict(DatasetVersionSerializer(version).data)


def _tests_text(column: dict[str, Any]) -> str:
    return "  ".join(f"{t['test']} {t['statistic']:.3f}" for t in column["tests"] if t["statistic"] is not None) or "-"
