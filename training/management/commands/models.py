"""`manage.py models`: look at the registry, move aliases, bring a model in, compile it, take one out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser

from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.logs import only_warnings
from aiplatform.management.platform_command import PlatformCommand
from training import engines, exports, imports, registry, selectors
from training.cli import exit_codes
from training.cli.actor import command_line_actor
from training.cli.engine_texts import add_compile_arguments, engine_lines
from training.cli.exporting import (
    add_export_arguments,
    export_lines,
    export_record,
    parse_wish,
    split_reference,
    write_report,
)
from training.cli.importing import (
    SAME_AS_NAME,
    add_import_arguments,
    import_lines,
    import_record,
    parse_description,
    parse_source,
)
from training.cli.streams import raw_stream
from training.cli.tables import write_fields, write_table
from training.cli.texts import age_text, metrics_text, model_record, version_record
from training.exporting.messages import ExportForm
from training.imports import NotDeployedError
from training.models import ModelVersion, RegisteredModel
from training.names import check_alias


class Command(PlatformCommand):
    """Show and steer the registry."""

    help = "The model registry: list, show, alias, import, export."

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
        export = commands.add_parser("export", help="take a version out: its verified artifact, or in another format")
        for command in (show, export):
            command.add_argument("model")
            command.add_argument("reference", nargs="?", default="", help="version number, alias or 'latest'")
        add_export_arguments(export)
        add_import_arguments(commands.add_parser("import", help="register a model that was made elsewhere"))
        add_compile_arguments(commands.add_parser("compile", help="convert, prove and time a version's engines"))
        for command in commands.choices.values():
            command.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Do the action; a PlatformError becomes one line and an exit code."""
        try:
            with only_warnings(unless=options["verbosity"] > 1):
                getattr(self, f"_{action}")(**options)
        except NotDeployedError as error:
            raise CommandError(error.message, returncode=exit_codes.NOT_DEPLOYED) from error
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
        record = version_record(selectors.get_version(*split_reference(model, reference)))
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
        name, chosen = split_reference(model, reference)
        wish = parse_wish({**options, "to": to})
        exports.check_wish(wish)
        if wish.form is ExportForm.ARTIFACT:
            version = registry.export_version(model_name=name, reference=chosen, folder=to)
            if as_json:
                self._write_json([{**version_record(version), "folder": str(to)}])
            else:
                self.stdout.write(f"{name} version {version.version}, verified, is in {to}")
            return
        exported = exports.export_converted(model_name=name, reference=chosen, wish=wish)
        if options["report"] and exported.report:
            write_report(exported.report, options["report"])
        if as_json:
            self._write_json([export_record(exported)])
        else:
            self.stdout.write("\n".join(export_lines(exported)))

    def _import(self, *, name: str, alias: str, deploy: str, as_json: bool, **options: Any) -> None:
        if alias:
            check_alias(alias)
        actor = command_line_actor()
        source, description = parse_source({**options, "name": name}), parse_description(options)
        version, examined = imports.import_model(name=name, source=source, description=description, actor=actor)
        if not as_json:
            self.stdout.write("\n".join(import_lines(version, examined)))
        engines.compile_version_quietly(version)
        if alias:
            registry.set_alias(model_name=name, alias=alias, reference=str(version.version), actor=actor)
        endpoint = name if deploy == SAME_AS_NAME else deploy
        if endpoint:
            imports.deploy_import(version, endpoint=endpoint, actor=actor)
        if as_json:
            fresh = selectors.get_version(name, str(version.version))
            self._write_json([import_record(fresh, examined, endpoint)])
        elif endpoint:
            self.stdout.write(f"deployed to endpoint '{endpoint}'")

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
    metrics, run = metrics_text(version.metrics), version.run.short_id if version.run else "imported"
    return version.version, aliases, version.framework, metrics, run, age_text(version.created_at)


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name}={entry}" for name, entry in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value
