"""The deployment that a run asked for, over a fake inference."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from aiplatform.contracts.inference import DeployVersion
from aiplatform.errors import UnavailableError
from training import deployment
from training.models import ModelVersion, Run
from training.states import DeployState

from ..factories import make_version

pytestmark = pytest.mark.django_db


class FakeInference:
    """Takes orders, or is away."""

    def __init__(self) -> None:
        self.orders: list[DeployVersion] = []
        self.is_away = False

    def deploy_version(self, order: DeployVersion) -> None:
        if self.is_away:
            raise UnavailableError("inference cannot be reached")
        self.orders.append(order)


@pytest.fixture
def inference(monkeypatch: pytest.MonkeyPatch) -> FakeInference:
    fake = FakeInference()
    monkeypatch.setattr(deployment, "inference_client", lambda: fake)
    return fake


def _pending(version: ModelVersion) -> Run:
    assert version.run is not None
    Run.objects.filter(pk=version.run.pk).update(
        deploy_endpoint="digits", deploy_state=DeployState.PENDING, deploy_next_at=timezone.now()
    )
    return Run.objects.get(pk=version.run.pk)


def test_a_due_deployment_is_ordered_once(inference: FakeInference) -> None:
    run = _pending(make_version())
    deployment.deploy_due()
    deployment.deploy_due()
    run.refresh_from_db()
    assert run.deploy_state == DeployState.DONE
    assert [(o.endpoint, o.model, o.reference) for o in inference.orders] == [("digits", "mnist", "1")]


def test_a_failing_deployment_is_visible_and_tried_again_later(inference: FakeInference) -> None:
    run = _pending(make_version())
    inference.is_away = True
    assert not deployment.deploy_run(run.pk)
    run.refresh_from_db()
    assert run.deploy_state == DeployState.PENDING
    assert "cannot be reached" in run.deploy_error
    assert run.deploy_next_at is not None
    assert run.deploy_next_at > timezone.now()
    inference.is_away = False
    assert not deployment.deploy_run(run.pk)  # not due yet
    Run.objects.filter(pk=run.pk).update(deploy_next_at=timezone.now() - timedelta(seconds=1))
    assert deployment.deploy_run(run.pk)
    run.refresh_from_db()
    assert (run.deploy_state, run.deploy_error) == (DeployState.DONE, "")


def test_a_late_deployment_does_not_undo_a_newer_one(inference: FakeInference) -> None:
    old, new = _pending(make_version()), _pending(make_version())
    assert deployment.deploy_run(new.pk)
    assert not deployment.deploy_run(old.pk)
    old.refresh_from_db()
    assert old.deploy_state == DeployState.SUPERSEDED
    assert [order.reference for order in inference.orders] == ["2"]
