"""`manage.py qcluster`: the queue's processes, in place of django-q2's command of this name."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """Run the queue until SIGTERM."""

    help = "Run the queue (django-q2) until SIGTERM; if one of its processes is killed, all end."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options, which are those of django-q2's command."""
        parser.add_argument("--run-once", action="store_true", help="do what lies in the queue, then end")
        parser.add_argument("-n", "--name", dest="cluster_name", default="", help="another name than in the settings")

    def handle(self, *args: Any, run_once: bool, cluster_name: str, **options: Any) -> None:
        """Start the queue; the process ends with it."""
        if cluster_name:
            os.environ["Q_CLUSTER_NAME"] = cluster_name  # before django-q2 is imported, which reads it then
        from aiplatform.queue_cluster import run_cluster

        cluster = run_cluster()
        if run_once:
            cluster.stop()
