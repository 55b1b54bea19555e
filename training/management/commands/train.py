"""`manage.py train`: order, watch and steer training runs."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from rich.console import Console

from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.queue_presence import may_queue_answer
from training import annotating, ready, run_files, scheduling, selectors, services
from training.cli import exit_codes
from training.cli.actor import command_line_actor
from training.cli.arguments import absolute_data_uri, parse_settings, read_parameters
from training.cli.comparing import comparison_record, write_comparison
from training.cli.interrupt import Choice, ask_on_interrupt
from training.cli.resources import read_resources
from training.cli.scheduling import schedule_record, write_schedules
from training.cli.search_actions import SearchActions
from training.cli.streams import raw_stream
from training.cli.tables import write_fields, write_table
from training.cli.texts import (
    age_text,
    end_sentence,
    metrics_text,
    progress_text,
    ready_version,
    resource_fields,
    run_record,
    seconds_text,
    source_sentences,
)
from training.cli.train_arguments import SAME_AS_NAME, add_subcommands
from training.cli.views import JsonView, PlainView, RunView, TerminalView
from training.cli.waiting import RunWaiter
from training.comparison import compare_runs
from training.models import Run, TrainingSchedule
from training.recipe_defaults import get_recipe, list_recipes
from training.recipes.keras_backends import BACKEND, TENSORFLOW
from training.recipes.registry import RecipeInfo
from training.resources.asking import resources_of
from training.resources.reporting import waiting_reasons
from training.states import RunState

_FOLLOW_EVERY_S = 0.3


class Command(SearchActions):
    """Train models and look after runs."""

    help = "Train models: runs, their comparison, searches for parameters, recipes of your own."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        add_subcommands(parser)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Do the action; a PlatformError becomes one line and an exit code."""
        if options["verbosity"] < 2:
            logging.getLogger().setLevel(logging.WARNING)  # the bars and the lines say it already
        try:
            code = getattr(self, f"_{action.replace('-', '_')}")(**options)
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
            parameters=read_parameters(options),
            seed=options["seed"],
            deploy_endpoint=options["name"] if deploy == SAME_AS_NAME else deploy,
            actor=command_line_actor(),
            resources=read_resources(options),
        )
        run = services.create_run(order)
        self._see_to_ready_trainer(run)
        return self._after_order(run, as_json=as_json, wait=wait)

    def _see_to_ready_trainer(self, run: Run) -> None:
        """Keep the trainer that came up beside this command, if it suits and no queue starts the run."""
        is_ours = settings.TRAINING_LAUNCHER == "local" and not may_queue_answer()
        if is_ours and run.parameters.get(BACKEND, TENSORFLOW) == TENSORFLOW:
            ready.keep_for(run.pk)
        else:
            ready.let_go()

    def _resume(self, *, run: str, as_json: bool, wait: bool, **options: Any) -> int:
        found = selectors.get_run(run)
        resources = read_resources(options, before=resources_of(found))
        resumed = services.resume_run(found, resources=resources, actor=command_line_actor())
        return self._after_order(resumed, as_json=as_json, wait=wait)

    def _clone(self, *, run: str, as_json: bool, wait: bool, **options: Any) -> int:
        data, found = options["data"], selectors.get_run(run)
        changes = annotating.RunChanges(
            parameters=read_parameters(options),
            data_uri=absolute_data_uri(data) if data is not None else None,
            target=options["target"],
            model_name=options["name"],
            seed=options["seed"],
            deploy_endpoint=options["deploy"],
            resources=read_resources(options, before=resources_of(found)),
        )
        made = annotating.clone_run(found, changes, actor=command_line_actor())
        return self._after_order(made, as_json=as_json, wait=wait)

    def _compare(self, *, runs: list[str], as_json: bool, **options: Any) -> None:
        comparison = compare_runs(runs)
        if as_json:
            self._write_json(comparison_record(comparison))
        else:
            write_comparison(raw_stream(self.stdout), comparison)

    def _note(self, *, run: str, text: str, as_json: bool, **options: Any) -> None:
        self._show_annotated(
            annotating.annotate_run(selectors.get_run(run), notes=text, actor=command_line_actor()), as_json
        )

    def _tag(self, *, run: str, add: list[str], remove: list[str], as_json: bool, **options: Any) -> None:
        changed = annotating.change_tags(selectors.get_run(run), add=add, remove=remove, actor=command_line_actor())
        self._show_annotated(changed, as_json)

    def _show_annotated(self, run: Run, as_json: bool) -> None:
        if as_json:
            self._write_json(run_record(run))
        else:
            self.stdout.write(f"run {run.short_id}  tags: {', '.join(run.tag_names) or '-'}  notes: {run.notes or '-'}")

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

    def _list(self, *, state: str, model: str, tag: str, limit: int, as_json: bool, **options: Any) -> None:
        runs = list(selectors.list_runs(state=state, model_name=model, tag=tag, limit=limit))
        reasons = waiting_reasons() if any(run.state == RunState.QUEUED for run in runs) else {}
        if as_json:
            for run in runs:
                self._write_json({**run_record(run), "waits": reasons.get(run.pk, "")})
            return
        titles = ("RUN", "STATE", "RECIPE", "MODEL", "VERSION", "DATA", "PROGRESS", "TOOK", "CREATED", "TAGS")
        write_table(raw_stream(self.stdout), titles, [_row(run, reasons.get(run.pk, "")) for run in runs])

    def _show(self, *, run: str, as_json: bool, **options: Any) -> None:
        found = selectors.get_run(run)
        epochs = selectors.list_epochs(found)
        if as_json:
            shown = {
                **resource_fields(found),
                "data": selectors.find_data_sources(found),
                "epochs": [{"epoch": e.epoch, **e.values} for e in epochs],
            }
            self._write_json({**run_record(found), **shown})
            return
        record = run_record(found)
        sources = selectors.find_data_sources(found)
        skipped = ("packages", "parameters", "progress", "metrics", "tags")
        write_fields(raw_stream(self.stdout), [(n, v) for n, v in record.items() if n not in skipped])
        write_fields(raw_stream(self.stdout), list(resource_fields(found).items()))
        write_fields(raw_stream(self.stdout), [("tags", " ".join(found.tag_names))])
        write_fields(raw_stream(self.stdout), [(f"set {n}", v) for n, v in found.parameters.items()])
        for sentence in source_sentences(sources):
            self.stdout.write(sentence)
        for epoch in epochs:
            self.stdout.write(f"epoch {epoch.epoch}  {metrics_text(epoch.values)}")
        if found.is_ended:
            self.stdout.write(end_sentence(found))
            if found.exit_traceback:
                self.stdout.write(found.exit_traceback)

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

    def _schedule(self, *, name: str, like: str, as_json: bool, **options: Any) -> None:
        order = scheduling.ScheduleOrder(
            name=name,
            like=selectors.get_run(like),
            cron=options["cron"],
            watch_minutes=options["on_new_data"],
            data_uri=absolute_data_uri(options["data"], may_come=True) if options["data"] else "",
            deploy_endpoint=options["deploy"],
            actor=command_line_actor(),
        )
        self._show_schedules([scheduling.create_schedule(order)], as_json)

    def _schedules(self, *, as_json: bool, **options: Any) -> None:
        self._show_schedules(scheduling.list_schedules(), as_json)

    def _schedule_step(self, *, name: str, step: str, as_json: bool, **options: Any) -> int:
        schedule, actor = scheduling.get_schedule(name), command_line_actor()
        if step == "now":
            return self._after_order(scheduling.run_now(schedule, actor=actor), as_json=as_json, wait=False)
        if step == "remove":
            scheduling.remove_schedule(schedule, actor=actor)
            self.stdout.write(f"schedule '{name}' is removed; its runs stay")
            return exit_codes.SUCCEEDED
        enabled = scheduling.enable_schedule(schedule, is_enabled=step == "resume", actor=actor)
        self._show_schedules([enabled], as_json)
        return exit_codes.SUCCEEDED

    def _show_schedules(self, schedules: list[TrainingSchedule], as_json: bool) -> None:
        if not as_json:
            write_schedules(raw_stream(self.stdout), schedules)
            return
        for schedule in schedules:
            self._write_json(schedule_record(schedule))

    def _export_mlflow(self, *, run: str, to: str, as_json: bool, **options: Any) -> None:
        from training.mlflow.server import export_to_server
        from training.mlflow.store import export_to_folder

        found = selectors.get_run(run)
        if to.startswith(("http://", "https://")):
            place, left_out = export_to_server(found, to)
        else:
            folder, left_out = export_to_folder(found, Path(to))
            place = str(folder)
        if as_json:
            self._write_json({"run": str(found.pk), "output": place, "left_out": left_out})
            return
        self.stdout.write(f"run {found.short_id} is in {place}")
        for sentence in left_out:
            self.stdout.write(f"note: {sentence}")

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

    def _new(self, *, name: str, backend: str, into: str, as_json: bool, **options: Any) -> None:
        from training.scaffold import write_recipe

        made = write_recipe(name, backend=backend, into=Path(into))
        if as_json:
            self._write_json({"recipe": str(made.recipe), "test": str(made.test), "path": made.path})
            return
        found = "" if made.root == Path.cwd() else f"PYTHONPATH={made.root} "
        self.stdout.write(f"wrote {made.recipe} and {made.test}; now:")
        self.stdout.write(f"    {found}python -m pytest {made.test}")
        self.stdout.write(
            f"    {found}python manage.py train run {made.path} --data digits --name {name.replace('_', '-')}"
        )

    def _cross_validate(self, *, as_json: bool, **options: Any) -> None:
        from training.cli import cross_validating

        question = cross_validating.Question(
            folds=options["folds"],
            positive=options["positive"],
            costs=cross_validating.parse_costs(options["costs"]),
            groups=tuple(options["groups"]),
        )
        order = {
            "recipe": options["recipe"],
            "data_uri": absolute_data_uri(options["data"]),
            "target": options["target"] or None,
            "parameters": parse_settings([pair for group in options["pairs"] for pair in group]),
            "seed": options["seed"],
        }
        figures = cross_validating.answer(order, question, self.stderr.write)
        if as_json:
            self._write_json(figures)
            return
        for line in cross_validating.lines_of(figures):
            self.stdout.write(line)


def _row(run: Run, waits: str) -> tuple[object, ...]:
    version = ready_version(run)
    return (
        run.short_id, run.state, run.recipe, run.model_name, version.version if version else "-", run.data_uri,
        progress_text(run) or waits or "-", seconds_text(run.duration_s), age_text(run.created_at),
        " ".join(run.tag_names),
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
