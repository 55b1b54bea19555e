"""What happened to runs and versions, as the database itself has seen it, and what is left on the disk.

Triggers note each change of a run's state and of a version within the transaction that makes it; so what is counted
does not depend on what the platform says of itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db import connection

from aiplatform.artifacts import verify_artifact
from aiplatform.errors import PlatformError
from aiplatform.storage import local_path

ENDED = ("succeeded", "failed", "cancelled")
LITTER = (".staging-*", "*.part", "*.tmp", ".columns-*")

_SQLITE = (
    "CREATE TABLE chaos_seen (id INTEGER PRIMARY KEY, kind TEXT, subject TEXT, was TEXT, became TEXT)",
    "CREATE TRIGGER chaos_run AFTER UPDATE ON training_run WHEN OLD.state <> NEW.state BEGIN "
    "INSERT INTO chaos_seen (kind, subject, was, became) VALUES ('run', NEW.id, OLD.state, NEW.state); END",
    "CREATE TRIGGER chaos_version AFTER UPDATE ON training_modelversion BEGIN "
    "INSERT INTO chaos_seen (kind, subject, was, became) VALUES ('version', NEW.id, OLD.state, NEW.state); END",
)
_POSTGRESQL = (
    "CREATE TABLE chaos_seen (id BIGSERIAL PRIMARY KEY, kind TEXT, subject TEXT, was TEXT, became TEXT)",
    "CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO chaos_seen (kind, subject, was, became) VALUES (TG_ARGV[0], NEW.id::text, OLD.state, NEW.state); "
    "RETURN NULL; END $$",
    "CREATE TRIGGER chaos_run AFTER UPDATE ON training_run FOR EACH ROW WHEN (OLD.state <> NEW.state) "
    "EXECUTE FUNCTION chaos_note('run')",
    "CREATE TRIGGER chaos_version AFTER UPDATE ON training_modelversion FOR EACH ROW "
    "EXECUTE FUNCTION chaos_note('version')",
)


def install() -> None:
    """Have the database note what happens from now on."""
    with connection.cursor() as cursor:
        for statement in _SQLITE if connection.vendor == "sqlite" else _POSTGRESQL:
            cursor.execute(statement)


def faults_of_runs() -> list[str]:
    """Return each run that has not ended exactly once, or that somebody still holds."""
    from training.models import Run

    ends = Counter(run for run, _, became in _seen("run") if became in ENDED)
    faults = [f"run {run}: from {was} to {became}" for run, was, became in _seen("run") if was in ENDED]
    for run in Run.objects.all():
        count = ends[_as_seen(run.pk)]
        if count != 1 or not run.is_ended:
            faults.append(f"run {run.short_id}: ended {count} times, is {run.state}")
        if run.lease_expires_at is not None:
            faults.append(f"run {run.short_id}: its lease is still there")
    return faults


def faults_of_versions() -> list[str]:
    """Return each version that was written twice, does not fit its run, or whose artifact is not whole."""
    from training.models import ModelVersion, Run
    from training.states import RunState, VersionState

    written = Counter(version for version, _, became in _seen("version") if became == VersionState.READY)
    ready = ModelVersion.objects.filter(state=VersionState.READY).select_related("model", "run")
    faults = []
    for version in ready:
        if written[str(version.pk)] != 1:
            faults.append(f"version {version}: written {written[str(version.pk)]} times")
        if version.run is None or version.run.state != RunState.SUCCEEDED:
            faults.append(f"version {version}: its run is {version.run.state if version.run else 'missing'}")
        try:
            verify_artifact(local_path(version.artifact_uri), digest=version.artifact_digest)
        except PlatformError as error:
            faults.append(f"version {version}: {error.message}")
    succeeded = Run.objects.filter(state=RunState.SUCCEEDED).count()
    if succeeded != len(ready):
        faults.append(f"{succeeded} runs succeeded, {len(ready)} versions are ready")
    return faults


def litter_in(data: Path, store: Path, temporary: Path) -> list[str]:
    """Return files and folders that only a write under way may have, and artifacts of no ready version."""
    from training.models import ModelVersion
    from training.states import VersionState

    found = [path for folder in (data, store) for pattern in LITTER for path in folder.rglob(pattern)]
    found += list(temporary.iterdir())
    ready = {
        str(local_path(uri))
        for uri in ModelVersion.objects.filter(state=VersionState.READY).values_list("artifact_uri", flat=True)
    }
    found += [path for path in store.glob("*/*") if str(path) not in ready and not path.name.startswith(".")]
    return [str(path) for path in sorted(set(found))]


def summary() -> str:
    """Return how the runs ended, in one line."""
    from training.models import Run

    ways = Counter((run.state, run.exit_class) for run in Run.objects.all())
    attempts = sum(Run.objects.values_list("attempt", flat=True))
    ended = ", ".join(f"{count} {state}{f' ({why})' if why else ''}" for (state, why), count in sorted(ways.items()))
    return f"{ended}; {attempts} attempts"


def _seen(kind: str) -> Sequence[tuple[str, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT subject, was, became FROM chaos_seen WHERE kind = %s ORDER BY id", [kind])
        return [(str(subject), was, became) for subject, was, became in cursor.fetchall()]


def _as_seen(run_id: Any) -> str:
    """Return a run's id as the database writes it as text."""
    return str(run_id.hex) if connection.vendor == "sqlite" else str(run_id)
