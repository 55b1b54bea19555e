"""`manage.py train`: order, watch and steer training runs."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from aiplatform.errors import InvalidInputError, PlatformError
from training import run_files, selectors, services
from training.cli import exit_codes
from training.cli.actor import command_line_actor
from training.cli.arguments import absolute_data_uri, parse_settings
from training.cli.interrupt import Choice, ask_on_interrupt
from training.cli.streams import raw_stream
from training.cli.tables import write_fields, write_table
from training.cli.texts import (
    age_text,
    end_sentence,
    metrics_text,
    progress_text,
    ready_version,
    run_record,
    seconds_text,
    source_sentences,
)
from training.cli.views import JsonView, PlainView, RunView, TerminalView
from training.cli.waiting import RunWaiter
from training.models import Run
from training.recipes.registry import RecipeInfo, get_recipe, list_recipes
from training.states import RunState

_SAME_AS_NAME = "\0"  # --deploy without an endpoint
_FOLLOW_EVERY_S = 0.3


class Command(BaseCommand):
    """Train models and look after runs."""

    help = "Train models: run, list, show, logs, cancel, resume, recipes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        _add_run(commands.add_parser("run", help="train a recipe on data"))
        listing = commands.add_parser("list", help="list runs, newest first")
        listing.add_argument("--state", choices=RunState.values, default="")
        listing.add_argument("--model", default="")
        listing.add_argument("--limit", type=int, default=20)
        for name, text in (("show", "show a run"), ("cancel", "cancel a run")):
            commands.add_parser(name, help=text).add_argument("run", help="a run's id, or its first characters")
        logs = commands.add_parser("logs", help="show a run's log")
        logs.add_argument("run", help="a run's id, or its first characters")
        logs.add_argument("--follow", "-f", action="store_true", help="go on until the run has ended")
        logs.add_argument("--lines", type=int, default=100)
        resume = commands.add_parser("resume", help="go on with a failed or cancelled run from its last checkpoint")
        resume.add_argument("run", help="a run's id, or its first characters")
        _add_waiting(resume)
        recipes = commands.add_parser("recipes", help="list the recipes with their parameters")
        recipes.add_argument("recipe", nargs="?", default="")
        for command in commands.choices.values():
            command.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Do the action; a PlatformError becomes one line and an exit code."""
        if options["verbosity"] < 2:
            logging.getLogger().setLevel(logging.WARNING)  # the bars and the lines say it already
        try:
            code = getattr(self, f"_{action}")(**options)
        except InvalidInputError as error:
            raise CommandError(error.message, returncode=exit_codes.USAGE) from error
        except PlatformError as error:
            raise CommandError(error.message, returncode=exit_codes.FAILED) from error
        if code:
            sys.exit(code)

    def _run(self, *, as_json: bool, wait: bool, **options: Any) -> int:
        deploy = options["deploy"] or ""
        order = services.RunOrder(
            recipe=options["recipe"],
            data_uri=absolute_data_uri(options["data"]),
            model_name=options["name"],
            target=options["target"],
            parameters=parse_settings([pair for group in options["pairs"] for pair in group]),
            seed=options["seed"],
            deploy_endpoint=options["name"] if deploy == _SAME_AS_NAME else deploy,
            actor=command_line_actor(),
        )
        return self._after_order(services.create_run(order), as_json=as_json, wait=wait)

    def _resume(self, *, run: str, as_json: bool, wait: bool, **options: Any) -> int:
        return self._after_order(
            services.resume_run(selectors.get_run(run), actor=command_line_actor()), as_json=as_json, wait=wait
        )

    def _after_order(self, run: Run, *, as_json: bool, wait: bool) -> int:
        if as_json:
            self._write_json({"event": "queued", **run_record(run)})
        elif not wait:
            self.stdout.write(
                f"run {run.short_id} is queued; watch it with: manage.py train logs {run.short_id} --follow"
            )
        return self._wait(run, as_json=as_json) if wait else exit_codes.SUCCEEDED

    def _wait(self, run: Run, *, as_json: bool) -> int:
        view = self._view(as_json)
        waiter = RunWaiter(run.pk, view)
        while True:
            try:
                return exit_codes.exit_code_of(waiter.wait())
            except KeyboardInterrupt:
                view.close()
            choice = ask_on_interrupt(raw_stream(self.stderr))
            if choice is Choice.DETACH:
                self.stderr.write(f"run {run.short_id} goes on; cancel it with: manage.py train cancel {run.short_id}")
                return exit_codes.INTERRUPTED
            if choice is Choice.CANCEL:
                services.cancel_run(selectors.get_run(run.pk), actor=command_line_actor())
            view = self._view(as_json)
            waiter = RunWaiter(run.pk, view)

    def _view(self, as_json: bool) -> RunView:
        out = raw_stream(self.stdout)
        if as_json:
            return JsonView(out)
        return TerminalView(Console(file=out)) if out.isatty() else PlainView(out)

    def _list(self, *, state: str, model: str, limit: int, as_json: bool, **options: Any) -> None:
        runs = list(selectors.list_runs(state=state, model_name=model, limit=limit))
        if as_json:
            for run in runs:
                self._write_json(run_record(run))
            return
        titles = ("RUN", "STATE", "RECIPE", "MODEL", "VERSION", "DATA", "PROGRESS", "TOOK", "CREATED")
        write_table(raw_stream(self.stdout), titles, [_row(run) for run in runs])

    def _show(self, *, run: str, as_json: bool, **options: Any) -> None:
        found = selectors.get_run(run)
        epochs = selectors.list_epochs(found)
        if as_json:
            shown = {
                "data": selectors.find_data_sources(found),
                "epochs": [{"epoch": e.epoch, **e.values} for e in epochs],
            }
            self._write_json({**run_record(found), **shown})
            return
        record = run_record(found)
        sources = selectors.find_data_sources(found)
        skipped = ("packages", "parameters", "progress", "metrics")
        write_fields(raw_stream(self.stdout), [(n, v) for n, v in record.items() if n not in skipped])
        write_fields(raw_stream(self.stdout), [(f"set {n}", v) for n, v in found.parameters.items()])
        for sentence in source_sentences(sources):
            self.stdout.write(sentence)
        for epoch in epochs:
            self.stdout.write(f"epoch {epoch.epoch}  {metrics_text(epoch.values)}")
        if found.is_ended:
            self.stdout.write(end_sentence(found))

    def _logs(self, *, run: str, follow: bool, lines: int, as_json: bool, **options: Any) -> None:
        found = selectors.get_run(run)
        tail = run_files.read_log_tail(found.pk, lines=lines)
        if tail is None and not follow:
            where = f" (it trains on {found.host})" if found.host else ""
            raise CommandError(f"run {found.short_id} has no log on this machine{where}", returncode=exit_codes.FAILED)
        offset = run_files.log_size(found.pk)
        if tail:
            self.stdout.write(tail)
        while follow:
            is_over = selectors.get_run(found.pk).is_ended
            text, offset = run_files.read_log_from(found.pk, offset)
            self.stdout.write(text, ending="")
            self.stdout.flush()
            if is_over:
                return
            time.sleep(_FOLLOW_EVERY_S)

    def _cancel(self, *, run: str, as_json: bool, **options: Any) -> None:
        cancelled = services.cancel_run(selectors.get_run(run), actor=command_line_actor())
        if as_json:
            self._write_json(run_record(cancelled))
        else:
            word = "is cancelled" if cancelled.is_ended else "stops after the present step"
            self.stdout.write(f"run {cancelled.short_id} {word}")

    def _recipes(self, *, recipe: str, as_json: bool, **options: Any) -> None:
        for info in [get_recipe(recipe)] if recipe else list_recipes():
            if as_json:
                self._write_json(_recipe_record(info))
                continue
            self.stdout.write(f"{info.name}  ({info.framework}, {info.data_kind})  {info.summary}")
            for p in info.parameters:
                self.stdout.write(f"    {p.name}={p.default}  {p.type}{_rule(p)}  {p.help}")

    def _write_json(self, record: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(record, default=str))


def _add_run(parser: CommandParser) -> None:
    parser.add_argument("recipe", help="see 'train recipes'; or your own as package.module:Class")
    parser.add_argument("--data", required=True, help="digits, mnist, a path, s3:// or gs://")
    parser.add_argument("--name", required=True, help="the model's name in the registry")
    parser.add_argument("--target", default="", help="the column to predict, for tables")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="pairs", action="append", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--deploy", nargs="?", const=_SAME_AS_NAME, metavar="ENDPOINT", help="deploy on success, by default as NAME"
    )
    _add_waiting(parser)


def _add_waiting(parser: CommandParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--wait", action="store_true", dest="wait", default=True, help="watch it to its end (the default)"
    )
    group.add_argument("--detach", action="store_false", dest="wait", help="return as soon as it is queued")


def _row(run: Run) -> tuple[object, ...]:
    version = ready_version(run)
    return (
        run.short_id, run.state, run.recipe, run.model_name, version.version if version else "-", run.data_uri,
        progress_text(run) or "-", seconds_text(run.duration_s), age_text(run.created_at),
    )  # fmt: skip


def _recipe_record(info: RecipeInfo) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(info)
    return plain


def _rule(parameter: Any) -> str:
    if parameter.choices:
        return " of " + "|".join(map(str, parameter.choices))
    if parameter.minimum is None and parameter.maximum is None:
        return ""
    low = "" if parameter.minimum is None else f"{parameter.minimum:g}"
    high = "" if parameter.maximum is None else f"{parameter.maximum:g}"
    return f" from {low} to {high}" if low and high else f" from {low}" if low else f" up to {high}"
