"""The profile that an artifact carries: read once per digest, kept as a row and in memory.

Nothing is configured: the batch says where the artifact lies and its digest says which it is. An
artifact that cannot be read is 'no baseline' with the reason, and is tried again after a while.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings

from aiplatform.artifacts import PROFILE, decode_manifest, fetch_artifact, read_profile
from aiplatform.errors import ArtifactError
from aiplatform.profiles import DataProfile, NumericProfile
from monitoring.models import Baseline, ServedVersion

RETRY_AFTER = timedelta(seconds=60)
NO_PROFILE = "the artifact has no profile of its data (it was imported without sample data)"
# The manifest's metric that says how good the version was on data held back, best first.
ACCURACY_METRICS = ("test_accuracy", "accuracy", "val_accuracy")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class BaselineProfile:
    """A baseline, or the reason why there is none. `accuracy` is the trainer's own, if it gave one."""

    profile: DataProfile | None
    reason: str = ""
    accuracy: float | None = None


def load_baseline(served: ServedVersion) -> BaselineProfile:
    """Return the baseline of a served version. Never raises for a store that cannot be read."""
    row = Baseline.objects.filter(pk=served.artifact_digest).defer("profile").first()
    is_stale = (
        row is not None
        and row.state == Baseline.State.MISSING
        and NO_PROFILE not in row.reason  # it will have none tomorrow, either
        and row.checked_at < datetime.now(UTC) - RETRY_AFTER
    )
    if row is None or is_stale:
        row = _read_artifact(served)
    if row.state != Baseline.State.READY:
        return BaselineProfile(profile=None, reason=row.reason, accuracy=row.accuracy)
    return BaselineProfile(profile=_parsed_profile(row.artifact_digest), accuracy=row.accuracy)


def known_ranges(digest: str) -> dict[str, tuple[float, float]]:
    """Return the least and greatest of each number in a baseline that has been read; never reads an artifact."""
    if not Baseline.objects.filter(pk=digest, state=Baseline.State.READY).exists():
        return {}
    return _ranges(digest)


@functools.lru_cache(maxsize=64)
def _ranges(digest: str) -> dict[str, tuple[float, float]]:
    numbers = {n: p for n, p in _parsed_profile(digest).features.items() if isinstance(p, NumericProfile) and p.count}
    return {name: (profile.moments.low, profile.moments.high) for name, profile in numbers.items()}


def _read_artifact(served: ServedVersion) -> Baseline:
    fields: dict[str, Any] = {
        "state": Baseline.State.READY,
        "reason": "",
        "profile": {},
        "accuracy": None,
        "checked_at": datetime.now(UTC),
    }
    try:
        folder = fetch_artifact(served.artifact_uri, cache=settings.ARTIFACT_CACHE_DIR, digest=served.artifact_digest)
        manifest = decode_manifest((folder / "manifest.json").read_bytes())
        fields.update(accuracy=_held_out_accuracy(manifest.metrics))
        if PROFILE not in manifest.files:
            raise ArtifactError(NO_PROFILE)
        profile = read_profile(folder)
        DataProfile.from_dict(profile)  # a profile that cannot be used is none
        fields.update(profile=profile)
    except Exception as error:  # noqa: BLE001  (whatever a store or a file does, it is a reason and no failure)
        fields.update(state=Baseline.State.MISSING, reason=f"{type(error).__name__}: {error}"[:1000])
        log.warning("baseline_missing", endpoint=served.endpoint, version=served.version, reason=fields["reason"])
    row, _ = Baseline.objects.update_or_create(artifact_digest=served.artifact_digest, defaults=fields)
    _parsed_profile.cache_clear()
    _ranges.cache_clear()
    return row


@functools.lru_cache(maxsize=64)
def _parsed_profile(digest: str) -> DataProfile:
    return DataProfile.from_dict(Baseline.objects.values_list("profile", flat=True).get(pk=digest))


def _held_out_accuracy(metrics: Mapping[str, float]) -> float | None:
    return next((float(metrics[name]) for name in ACCURACY_METRICS if name in metrics), None)
