"""Runs, versions and numbers as words and as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from training.models import ModelVersion, RegisteredModel, Run
from training.resources.reporting import ask_text, lease_text, waiting_reason
from training.states import DeployState, RunState, VersionState


def seconds_text(seconds: float | None) -> str:
    """Return a duration: 8 s, 2 min 5 s, 3 h 10 min."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def age_text(moment: datetime | None) -> str:
    """Return how long ago a moment was."""
    return "-" if moment is None else f"{seconds_text((timezone.now() - moment).total_seconds())} ago"


def metrics_text(metrics: Mapping[str, Any], *, digits: int = 4) -> str:
    """Return metrics on one line."""
    return "  ".join(f"{name} {value:.{digits}f}" for name, value in metrics.items() if value is not None)


def progress_text(run: Run) -> str:
    """Return how far a run has come."""
    if not run.is_active or not run.progress.get("epochs"):
        return str(run.progress.get("phase", "")) if run.is_active else ""
    return f"epoch {run.progress.get('epoch', 0)}/{run.progress['epochs']}"


def ready_version(run: Run) -> ModelVersion | None:
    """Return the version that a run became, if it is ready."""
    version: ModelVersion | None = getattr(run, "version", None)
    return version if version is not None and version.state == VersionState.READY else None


def end_sentence(run: Run) -> str:
    """Return how a run ended, and what to do next."""
    took = seconds_text(run.duration_s)
    version = ready_version(run)
    if run.state == RunState.SUCCEEDED and version is not None:
        text = f"run {run.short_id} succeeded in {took}: {run.model_name} version {version.version}"
        return f"{text}  {metrics_text(version.metrics)}{_deploy_text(run)}"
    if run.state == RunState.SUCCEEDED:
        return f"run {run.short_id} succeeded in {took}; it is a trial and has no version"
    again = f"go on with: manage.py train resume {run.short_id}"
    if run.state == RunState.CANCELLED:
        return f"run {run.short_id} was cancelled after {took}; {again}"
    return f"run {run.short_id} failed after {took} ({run.exit_class}): {run.exit_message}\n{again}"


def _deploy_text(run: Run) -> str:
    if run.deploy_state == DeployState.DONE:
        return f"\ndeployed to endpoint '{run.deploy_endpoint}'"
    if run.deploy_state == DeployState.PENDING:
        why = f": {run.deploy_error}" if run.deploy_error else ""
        return f"\nnot deployed to '{run.deploy_endpoint}' yet, tried again by the clock{why}"
    return ""


def source_sentences(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a run found in its data, a line each."""
    said = []
    for source in sources:
        rows = ", ".join(f"{count} {part}" for part, count in source["rows"].items()) or "none used"
        bad = f", {source['bad_count']} bad (on_bad={source['on_bad']})" if source["bad_count"] else ""
        said.append(f"data {source['source']}  split {source['split']}  rows {rows}{bad}")
        said += [f"    {entry['where']}: {entry['reason']}" for entry in source["bad"]]
    return said


def run_record(run: Run) -> dict[str, Any]:
    """Return a run for `--json`."""
    version = ready_version(run)
    names = (
        "short_id", "recipe", "parameters", "data_uri", "target", "model_name", "seed", "state", "progress", "attempt",
        "exit_class", "exit_message", "deploy_endpoint", "deploy_state", "deploy_error", "code_commit", "packages",
        "data_fingerprint", "requested_by", "reason", "notes", "created_at", "started_at", "ended_at", "duration_s",
    )  # fmt: skip
    record: dict[str, Any] = {"run": str(run.pk), **{name: getattr(run, name) for name in names}}
    record["tags"] = run.tag_names
    record["version"] = version.version if version else None
    record["metrics"] = version.metrics if version else {}
    return record


def resource_fields(run: Run) -> dict[str, Any]:
    """Return what a run asks for, holds and has taken, and why it waits; what there is nothing of is left out."""
    fields = {"asks": ask_text(run), "resources": lease_text(run), "waits": waiting_reason(run)}
    return {name: text for name, text in fields.items() if text}


def model_record(model: RegisteredModel) -> dict[str, Any]:
    """Return a model for `--json`."""
    return {
        "model": model.name,
        "description": model.description,
        "aliases": {alias.name: alias.version.version for alias in model.aliases.all()},
        "created_at": model.created_at,
    }


def version_record(version: ModelVersion) -> dict[str, Any]:
    """Return a version for `--json`."""
    return {
        "model": version.model.name,
        "version": version.version,
        "framework": version.framework,
        "task": version.task,
        "labels": list(version.labels),
        "aliases": sorted(alias.name for alias in version.aliases.all()),
        "metrics": version.metrics,
        "artifact_uri": version.artifact_uri,
        "artifact_digest": version.artifact_digest,
        "lineage": version.lineage,
        "created_at": version.created_at,
    }
