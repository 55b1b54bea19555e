"""The deployment that a run asked for: ordered from inference after success, until it is taken.

It is tried by the trainer at once and by supervision later, with growing pauses. The order names
the version's number, so that ordering it twice changes nothing; a newer version that the same
endpoint has got meanwhile is not undone.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog
from django.db.models import F
from django.utils import timezone

from aiplatform.contracts.inference import DeployVersion
from aiplatform.errors import PlatformError
from aiplatform.services import inference_client
from training import selectors
from training.models import ModelVersion, Run
from training.states import DeployState, VersionState

log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0
_ERROR_LENGTH = 1000


def deploy_due() -> None:
    """Try every deployment whose time has come."""
    for run in selectors.list_due_deployments():
        deploy_run(run.pk)


def deploy_run(run_id: UUID) -> bool:
    """Order the deployment of a run's version if it is due; say whether it was taken.

    The next try is set before this one, so that two processes do not both try.
    """
    run = Run.objects.filter(pk=run_id, deploy_state=DeployState.PENDING, deploy_next_at__lte=timezone.now()).first()
    if run is None or not _claim_try(run):
        return False
    version = ModelVersion.objects.select_related("model").get(run=run, state=VersionState.READY)
    if _is_superseded(run, version):
        _close(run, DeployState.SUPERSEDED)
        return False
    try:
        order_deployment(version, endpoint=run.deploy_endpoint, actor=run.requested_by, reason=f"run {run.short_id}")
    except PlatformError as error:
        message = f"{error.message} (try {run.deploy_attempts + 1})"
        Run.objects.filter(pk=run.pk).update(deploy_error=message[:_ERROR_LENGTH])
        log.warning("deployment_failed", run=str(run.pk), endpoint=run.deploy_endpoint, error=error.message)
        return False
    _close(run, DeployState.DONE)
    return True


def order_deployment(version: ModelVersion, *, endpoint: str, actor: str, reason: str) -> None:
    """Give all traffic of an endpoint to a version.

    Raises: PlatformError as inference answered it.
    """
    inference_client().deploy_version(
        DeployVersion(
            endpoint=endpoint, model=version.model.name, reference=str(version.version), actor=actor, reason=reason
        )
    )
    log.info("deployment_ordered", endpoint=endpoint, model=version.model.name, version=version.version, actor=actor)


def _claim_try(run: Run) -> bool:
    pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(run.deploy_attempts, 8))
    tried = Run.objects.filter(
        pk=run.pk,
        deploy_state=DeployState.PENDING,
        deploy_attempts=run.deploy_attempts,
        deploy_next_at=run.deploy_next_at,
    ).update(deploy_attempts=F("deploy_attempts") + 1, deploy_next_at=timezone.now() + timedelta(seconds=pause_s))
    return bool(tried)


def _is_superseded(run: Run, version: ModelVersion) -> bool:
    return Run.objects.filter(
        deploy_endpoint=run.deploy_endpoint,
        deploy_state=DeployState.DONE,
        version__model=version.model,
        version__version__gt=version.version,
    ).exists()


def _close(run: Run, state: DeployState) -> None:
    Run.objects.filter(pk=run.pk).update(deploy_state=state, deploy_error="", deploy_next_at=None)
