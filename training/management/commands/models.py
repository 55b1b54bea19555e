"""`manage.py models`: look at the registry, move aliases, compile for serving, take a model out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from aiplatform.errors import InvalidInputError, PlatformError
from training import engines, registry, selectors
from training.cli import exit_codes
from training.cli.actor import command_line_actor
from training.cli.engine_texts import add_compile_arguments, engine_lines
from training.cli.streams import raw_stream
from training.cli.tables import write_fields, write_table
from training.cli.texts import age_text, metrics_text, model_record, version_record
from training.models import ModelVersion, RegisteredModel


class Command(BaseCommand):
    """Show and steer the registry."""

    help = "The model registry: list, show, alias, export."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = commands.add_parser("list", help="list models, or the versions of one")
        listing.add_argument("model", nargs="?", default="")
        show = commands.add_parser("show", help="show a version with its lineage")
        alias = commands.add_parser("alias", help="set, move or remove an alias")
        alias.add_argument("model")
        alias.add_argument("alias")
        alias.add_argument("reference", nargs="?", default="", help="version number, alias or 'latest'")
        alias.add_argument("--remove", action="store_true")
        export = commands.add_parser("export", help="copy a version's verified artifact to a folder")
        for command in (show, export):
            command.add_argument("model")
            command.add_argument("reference", nargs="?", default="latest", help="version number, alias or 'latest'")
        export.add_argument("--to", required=True, type=Path, help="a folder that does not exist yet")
        add_compile_arguments(commands.add_parser("compile", help="convert, prove and time a version's engines"))
        for command in commands.choices.values():
            command.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Do the action; a PlatformError becomes one line and an exit code."""
        try:
            getattr(self, f"_{action}")(**options)
        except InvalidInputError as error:
            raise CommandError(error.message, returncode=exit_codes.USAGE) from error
        except PlatformError as error:
            raise CommandError(error.message, returncode=exit_codes.FAILED) from error

    def _list(self, *, model: str, as_json: bool, **options: Any) -> None:
        if model:
            selectors.get_model(model)
            self._list_versions(model, as_json)
            return
        models = list(selectors.list_models())
        if as_json:
            self._write_json([model_record(found) for found in models])
            return
        rows = [(m.name, selectors.newest_number(m), _aliases(m), age_text(m.created_at)) for m in models]
        write_table(raw_stream(self.stdout), ("MODEL", "NEWEST", "ALIASES", "CREATED"), rows)

    def _list_versions(self, model: str, as_json: bool) -> None:
        versions = list(selectors.list_versions(model))
        if as_json:
            self._write_json([version_record(found) for found in versions])
            return
        titles = ("VERSION", "ALIASES", "FRAMEWORK", "METRICS", "RUN", "CREATED")
        write_table(raw_stream(self.stdout), titles, [_row(found) for found in versions])

    def _show(self, *, model: str, reference: str, as_json: bool, **options: Any) -> None:
        record = version_record(selectors.get_version(model, reference))
        if as_json:
            self._write_json([record])
            return
        lineage = record.pop("lineage")
        write_fields(raw_stream(self.stdout), [(name, _shown(value)) for name, value in record.items()])
        self.stdout.write("\nengines")
        self.stdout.write("\n".join(engine_lines(engines.find_engines(record["artifact_digest"]))))
        self.stdout.write("\nwhere it comes from")
        write_fields(raw_stream(self.stdout), [(name, _shown(value)) for name, value in lineage.items()])

    def _alias(self, *, model: str, alias: str, reference: str, remove: bool, as_json: bool, **options: Any) -> None:
        if remove == bool(reference):
            raise InvalidInputError("name a version for the alias, or --remove it")
        actor = command_line_actor()
        if remove:
            registry.remove_alias(model_name=model, alias=alias, actor=actor)
        else:
            registry.set_alias(model_name=model, alias=alias, reference=reference, actor=actor)
        found = selectors.get_model(model)
        if as_json:
            self._write_json([model_record(found)])
        else:
            self.stdout.write(f"{model}: " + (f"{alias} removed" if remove else f"{alias} is {reference} now"))

    def _export(self, *, model: str, reference: str, to: Path, as_json: bool, **options: Any) -> None:
        version = registry.export_version(model_name=model, reference=reference, folder=to)
        if as_json:
            self._write_json([{**version_record(version), "folder": str(to)}])
        else:
            self.stdout.write(f"{model} version {version.version}, verified, is in {to}")

    def _compile(self, *, model: str, force: bool, wait: bool, timeout: float, as_json: bool, **options: Any) -> None:
        name, _, reference = model.partition("@")
        version = selectors.get_version(name, reference or "latest")
        found = engines.order_compilation(version, force=force)
        if wait:
            found = engines.wait_for_engines(version, timeout_s=timeout)
        if as_json:
            self._write_json([{"model": name, "version": version.version, **msgspec.to_builtins(found)}])
        else:
            self.stdout.write("\n".join([f"{name} version {version.version}", *engine_lines(found)]))
        if wait and found.state != "ready":
            raise CommandError(f"there is no engine pack: {found.state} {found.detail}", returncode=exit_codes.FAILED)

    def _write_json(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            self.stdout.write(json.dumps(record, default=str))


def _aliases(model: RegisteredModel) -> str:
    return ", ".join(f"{alias.name}={alias.version.version}" for alias in model.aliases.all()) or "-"


def _row(version: ModelVersion) -> tuple[object, ...]:
    aliases = ", ".join(alias.name for alias in version.aliases.all()) or "-"
    metrics = metrics_text(version.metrics)
    return version.version, aliases, version.framework, metrics, version.run.short_id, age_text(version.created_at)


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name}={entry}" for name, entry in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value
