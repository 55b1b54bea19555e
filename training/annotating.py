"""What people add to a run after it was ordered: notes, tags, and another run like it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db import transaction

from aiplatform.errors import InvalidInputError
from training.models import Run, RunTag
from training.resources.asking import ResourceOrder, resources_of
from training.services import RunOrder, create_run

log = structlog.get_logger(__name__)

LONGEST_NOTES = 10_000
MOST_TAGS = 20
TAG_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:=/-]{0,39}"
_TAG = re.compile(TAG_PATTERN)


@dataclass(frozen=True, kw_only=True)
class RunChanges:
    """What a clone does otherwise; None, or a parameter left out: as in the run it is made from."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    data_uri: str | None = None
    target: str | None = None
    model_name: str | None = None
    seed: int | None = None
    deploy_endpoint: str | None = None
    resources: ResourceOrder | None = None


def check_tags(tags: Sequence[str]) -> list[str]:
    """Return the tags without repetition, sorted.

    Raises: InvalidInputError naming the rule and the tag.
    """
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise InvalidInputError(
                "a tag must be 1 to 40 of letters, digits and . _ : = / - and begin with a letter or digit, "
                f"not '{tag}'"
            )
    chosen = sorted(set(tags))
    if len(chosen) > MOST_TAGS:
        raise InvalidInputError(f"a run has at most {MOST_TAGS} tags, not {len(chosen)}")
    return chosen


def annotate_run(run: Run, *, notes: str | None = None, tags: Sequence[str] | None = None, actor: str = "") -> Run:
    """Set a run's notes and tags; None leaves them.

    Raises: InvalidInputError naming the rule and what breaks it; then nothing is changed.
    """
    if notes is not None and len(notes) > LONGEST_NOTES:
        raise InvalidInputError(f"notes have at most {LONGEST_NOTES} characters, not {len(notes)}")
    chosen = None if tags is None else check_tags(tags)
    with transaction.atomic():
        if notes is not None:
            Run.objects.filter(pk=run.pk).update(notes=notes)
        if chosen is not None:
            RunTag.objects.filter(run=run).exclude(name__in=chosen).delete()
            RunTag.objects.bulk_create([RunTag(run=run, name=name) for name in chosen], ignore_conflicts=True)
    log.info("run_annotated", run=str(run.pk), tags=chosen, actor=actor)
    return Run.objects.get(pk=run.pk)


def change_tags(run: Run, *, add: Sequence[str] = (), remove: Sequence[str] = (), actor: str = "") -> Run:
    """Give a run further tags and take others away.

    Raises: InvalidInputError naming the rule and the tag, or the tag that the run does not have.
    """
    present = set(run.tag_names)
    missing = sorted(set(remove) - present)
    if missing:
        raise InvalidInputError(
            f"run {run.short_id} has no tag '{missing[0]}'; it has: {', '.join(run.tag_names) or '-'}"
        )
    return annotate_run(run, tags=sorted((present | set(add)) - set(remove)), actor=actor)


def clone_run(run: Run, changes: RunChanges, *, actor: str = "") -> Run:
    """Queue a run like another one, but for the changes.

    Raises: InvalidInputError (or a class of it) as `create_run`: the recipe may have changed since.
    """
    return create_run(
        RunOrder(
            recipe=run.recipe,
            data_uri=_first(changes.data_uri, run.data_uri),
            model_name=_first(changes.model_name, run.model_name),
            target=_first(changes.target, run.target),
            parameters={**run.parameters, **changes.parameters},
            seed=run.seed if changes.seed is None else changes.seed,
            deploy_endpoint=changes.deploy_endpoint or "",
            actor=actor,
            reason=f"clone of run {run.short_id}",
            resources=changes.resources or resources_of(run),
        )
    )


def _first(changed: str | None, before: str) -> str:
    return before if changed is None else changed
