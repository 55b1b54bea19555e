"""`manage.py serve`: the whole platform, or some of its roles, with one command."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from prometheus_client import multiprocess

from aiplatform.errors import InvalidConfigurationError
from aiplatform.management.platform_command import PlatformCommand
from aiplatform.roles import TRAINING
from aiplatform.rpc.chain import grpc_lifespans, require_free_port
from aiplatform.supervisor import Child, Supervisor
from aiplatform.wiring import wiring

MOST_DESCRIPTORS = 65_536


class Command(PlatformCommand):
    """Run HTTP, the queue worker and the clock of this process's roles; end them on SIGTERM."""

    help = "Run this process's roles: HTTP (gunicorn), and for the roles that need them queue worker and clock."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--bind", default=settings.BIND, help="address:port to listen on (BIND)")
        parser.add_argument("--workers", type=int, default=settings.WEB_WORKERS, help="HTTP workers (WEB_WORKERS)")
        parser.add_argument("--migrate", action="store_true", help="bring the database up to date first")

    def handle(self, *args: Any, bind: str, workers: int, migrate: bool, **options: Any) -> None:
        """Check the database, start the children, and wait."""
        if migrate:
            call_command("migrate", interactive=False, verbosity=0)
        self._require_migrations()
        try:
            require_free_port()
        except InvalidConfigurationError as error:
            raise CommandError(error.message) from error
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_fresh_metrics_folder())
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow: warnings, not what processor it found
        _allow_many_connections()
        supervisor = Supervisor(
            children=_children(bind, workers),
            grace_s=settings.GRACEFUL_STOP_S + 1,
            on_child_exit=multiprocess.mark_process_dead,
        )
        signal.signal(signal.SIGTERM, supervisor.request_stop)
        signal.signal(signal.SIGINT, supervisor.request_stop)
        connections.close_all()
        grpc = f" and grpc://{settings.GRPC_BIND}" if grpc_lifespans() else ""
        self.stdout.write(f"aiplatform ({', '.join(sorted(settings.ROLES))}) on http://{bind}{grpc} - Ctrl-C ends it")
        killed = supervisor.run()
        if killed:
            raise CommandError(f"{killed} processes did not end within {settings.GRACEFUL_STOP_S} s and were killed")

    def _require_migrations(self) -> None:
        try:
            executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
            missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        except DatabaseError as error:
            # A replica must be able to restart while the database is down.
            self.stderr.write(f"the database cannot be reached, starting without it: {error}")
            return
        if missing:
            raise CommandError(f"{len(missing)} migrations are missing; run 'manage.py migrate' or 'serve --migrate'")


def _allow_many_connections() -> None:
    """Use as many descriptors as the system allows: each connection is one, and the usual soft limit is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _children(bind: str, workers: int) -> list[Child]:
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:aiplatform.gunicorn_conf"]
    children = [Child(process.name, [*manage, *process.arguments]) for process in wiring.processes]
    children += [
        Child("http", [*gunicorn, "--bind", bind, "--workers", str(workers), "aiplatform.asgi:application"]),
    ]
    if TRAINING in settings.ROLES:
        children.append(Child("queue", [*manage, "qcluster"]))
    if wiring.jobs:
        children.append(Child("clock", [*manage, "clock"]))
    return children


def _fresh_metrics_folder() -> Path:
    parent = settings.DATA_DIR / "metrics"
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.iterdir():
        if not Path(f"/proc/{old.name}").exists():
            shutil.rmtree(old, ignore_errors=True)
    folder: Path = parent / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
