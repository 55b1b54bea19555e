"""The arguments of `manage.py train`, one function a subcommand that has many."""

from __future__ import annotations

from django.core.management.base import CommandParser

from training.cli.resources import add_resources
from training.cli.scheduling import add_schedule_subcommands
from training.cli.searching import add_search_subcommands
from training.recipes.keras_backends import BACKENDS as KERAS_BACKENDS
from training.scaffold import BACKENDS
from training.states import RunState

SAME_AS_NAME = "\0"  # --deploy without an endpoint
_RUN_HELP = "a run's id, or its first characters"


def add_subcommands(parser: CommandParser) -> None:
    """Declare the subcommands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_run(commands.add_parser("run", help="train a recipe on data"))
    _add_list(commands.add_parser("list", help="list runs, newest first"))
    for name, text in (("show", "show a run"), ("cancel", "cancel a run")):
        commands.add_parser(name, help=text).add_argument("run", help=_RUN_HELP)
    logs = commands.add_parser("logs", help="show a run's log")
    logs.add_argument("run", help=_RUN_HELP)
    logs.add_argument("--follow", "-f", action="store_true", help="go on until the run has ended")
    logs.add_argument("--lines", type=int, default=100)
    resume = commands.add_parser("resume", help="go on with a failed or cancelled run from its last checkpoint")
    resume.add_argument("run", help=_RUN_HELP)
    add_resources(resume)
    add_waiting(resume)
    recipes = commands.add_parser("recipes", help="list the recipes with their parameters")
    recipes.add_argument("recipe", nargs="?", default="")
    new = commands.add_parser("new", help="write a recipe of your own to begin with, and its test")
    new.add_argument("name", help="the recipe's name, as a Python module: small letters, digits and _")
    new.add_argument("--backend", choices=BACKENDS, default=BACKENDS[0])
    new.add_argument("--into", default=".", metavar="DIR", help="an existing folder, by default this one")
    _add_cross_validation(commands.add_parser("cross-validate", help="train and test in turns; registers nothing"))
    _add_annotations(commands)
    export = commands.add_parser("export-mlflow", help="write a run and its model for MLflow")
    export.add_argument("run", help=_RUN_HELP)
    export.add_argument("--to", required=True, metavar="FOLDER|URL", help="a file store, or http(s)://... of a server")
    _add_clone(commands.add_parser("clone", help="train again as a run did, with changes"))
    add_search_subcommands(commands, add_settings)
    add_schedule_subcommands(commands)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")


def add_settings(parser: CommandParser) -> None:
    """Declare `--set key=value ...`."""
    parser.add_argument("--set", dest="pairs", action="append", nargs="+", default=[], metavar="KEY=VALUE")


def add_backend(parser: CommandParser) -> None:
    """Declare `--backend`, which is short for `--set backend=...`."""
    parser.add_argument(
        "--backend", choices=KERAS_BACKENDS, help="what Keras computes with while it learns, for recipes in Keras"
    )


def add_waiting(parser: CommandParser) -> None:
    """Declare `--wait` and `--detach`."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--wait", action="store_true", dest="wait", default=True, help="watch it to its end (the default)"
    )
    group.add_argument("--detach", action="store_false", dest="wait", help="return as soon as it is queued")


def _add_run(parser: CommandParser) -> None:
    parser.add_argument("recipe", help="see 'train recipes'; or your own as package.module:Class")
    parser.add_argument("--data", required=True, help="digits, mnist, a path, s3:// or gs://")
    parser.add_argument("--name", required=True, help="the model's name in the registry")
    parser.add_argument("--target", default="", help="the column to predict, for tables")
    parser.add_argument("--seed", type=int, default=0)
    add_settings(parser)
    parser.add_argument(
        "--workers", type=int, metavar="N", help="share each batch among N processes (as --set workers=N)"
    )
    add_backend(parser)
    parser.add_argument(
        "--deploy", nargs="?", const=SAME_AS_NAME, metavar="ENDPOINT", help="deploy on success, by default as NAME"
    )
    add_resources(parser)
    add_waiting(parser)


def _add_cross_validation(parser: CommandParser) -> None:
    parser.add_argument("recipe", help="see 'train recipes'; or your own as package.module:Class")
    parser.add_argument("--data", required=True, help="as for 'train run'")
    parser.add_argument("--target", default="", help="the column to predict, for tables")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    add_settings(parser)
    parser.add_argument("--positive", default="", metavar="LABEL", help="the class that a decision is about")
    parser.add_argument("--costs", default="1:1", metavar="MISS:ALARM", help="of a missed one, and of a false alarm")
    parser.add_argument(
        "--group", dest="groups", action="append", default=[], metavar="COLUMN", help="show the decisions by its values"
    )


def _add_list(parser: CommandParser) -> None:
    parser.add_argument("--state", choices=RunState.values, default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--tag", default="", help="only runs that have this tag")
    parser.add_argument("--limit", type=int, default=20)


def _add_annotations(commands: object) -> None:
    compare = commands.add_parser("compare", help="show runs side by side")  # type: ignore[attr-defined]
    compare.add_argument("runs", nargs="+", metavar="RUN", help="2 to 8 ids, or their first characters")
    note = commands.add_parser("note", help="write what is to be remembered of a run")  # type: ignore[attr-defined]
    note.add_argument("run", help=_RUN_HELP)
    note.add_argument("text", help="the whole text; empty removes it")
    tag = commands.add_parser("tag", help="give tags to a run, or take them away")  # type: ignore[attr-defined]
    tag.add_argument("run", help=_RUN_HELP)
    tag.add_argument("add", nargs="*", metavar="TAG", help="tags to give")
    tag.add_argument("--remove", nargs="+", default=[], metavar="TAG", help="tags to take away")


def _add_clone(parser: CommandParser) -> None:
    parser.add_argument("run", help=_RUN_HELP)
    add_settings(parser)
    parser.add_argument("--data", help="other data")
    parser.add_argument("--target", help="another column")
    parser.add_argument("--name", help="another model's name")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--deploy", metavar="ENDPOINT", help="deploy there on success; a clone does not by itself")
    add_resources(parser)
    add_waiting(parser)
