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

import msgspec
import structlog
from django.conf import settings

from aiplatform.artifacts import PROFILE, decode_manifest, fetch_artifact, read_calibration, read_profile
from aiplatform.calibration import Calibration
from aiplatform.errors import ArtifactError
from aiplatform.profiles import DataProfile
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
    calibration: Calibration | None = None


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
    calibration = msgspec.convert(row.calibration, Calibration) if row.calibration else None
    profile = _parsed_profile(row.artifact_digest)
    return BaselineProfile(profile=profile, accuracy=row.accuracy, calibration=calibration)


def _read_artifact(served: ServedVersion) -> Baseline:
    fields: dict[str, Any] = {
        "state": Baseline.State.READY,
        "reason": "",
        "profile": {},
        "calibration": {},
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
        calibration = read_calibration(folder)
        fields.update(profile=profile, calibration=msgspec.to_builtins(calibration) if calibration else {})
    except Exception as error:  # noqa: BLE001  (whatever a store or a file does, it is a reason and no failure)
        fields.update(state=Baseline.State.MISSING, reason=f"{type(error).__name__}: {error}"[:1000])
        log.warning("baseline_missing", endpoint=served.endpoint, version=served.version, reason=fields["reason"])
    row, _ = Baseline.objects.update_or_create(artifact_digest=served.artifact_digest, defaults=fields)
    _parsed_profile.cache_clear()
    return row


@functools.lru_cache(maxsize=64)
def _parsed_profile(digest: str) -> DataProfile:
    return DataProfile.from_dict(Baseline.objects.values_list("profile", flat=True).get(pk=digest))


def _held_out_accuracy(metrics: Mapping[str, float]) -> float | None:
    return next((float(metrics[name]) for name in ACCURACY_METRICS if name in metrics), None)
