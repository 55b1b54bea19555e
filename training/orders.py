"""From a run's row to the order that the learning code takes, the same in the trainer and on all its nodes."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.utils.crypto import salted_hmac

from training.data.sql_places import parse_databases
from training.dataset_registry import data_cache, find_sources
from training.models import Run
from training.parallel.nodes import Nodes
from training.recipes.api import TrainingOrder
from training.run_files import run_folder, work_folder


def training_order(run: Run, *, nodes: Nodes | None = None) -> TrainingOrder:
    """Return what a run's recipe is to learn, and make the folder in which it works."""
    work_dir = work_folder(run_folder(run.pk))
    work_dir.mkdir(parents=True, exist_ok=True)
    sources = find_sources(run.data_uri, run.target)
    return TrainingOrder(
        recipe=run.recipe,
        parameters=run.parameters,
        data_uri=sources.uri,
        target=sources.target or None,
        expected=sources.expected,
        seed=run.seed,
        work_dir=work_dir,
        cache=data_cache(),
        memory_bytes=settings.DATA_MEMORY_BYTES,
        databases=parse_databases(settings.DATA_DATABASES),
        nodes=nodes,
    )


def team_key(run_id: UUID, fence: int) -> bytes:
    """Return what the processes of one attempt know, and nobody else: it follows from SECRET_KEY, run and fence."""
    return salted_hmac("training.parallel.meeting", f"{run_id}:{fence}", algorithm="sha256").digest()
