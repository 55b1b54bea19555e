"""Orders that arrive at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from inference import selectors, services
from inference.models import EndpointRevision
from tests.inference.endpoints.fakes import FakeRegistry

pytestmark = pytest.mark.django_db(transaction=True)


def run_together(actions: list[Callable[[], object]]) -> list[BaseException]:
    barrier = threading.Barrier(len(actions))
    errors: list[BaseException] = []

    def run(action: Callable[[], object]) -> None:
        barrier.wait(10)
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the finding
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return errors


def deploy(registry: FakeRegistry, reference: str) -> Callable[[], object]:
    return lambda: services.deploy_version(
        endpoint="digits", model="digits", reference=reference, actor="a", registry=registry
    )


def test_deployments_at_once_each_get_a_generation_and_the_last_one_stands(registry: FakeRegistry) -> None:
    assert run_together([deploy(registry, reference) for reference in ("1", "2", "3", "1")]) == []
    history = list(selectors.list_revisions("digits"))
    assert [revision.generation for revision in history] == [4, 3, 2, 1]
    info = selectors.get_endpoint("digits")
    assert info.generation == 4
    assert [{"version": s.version, "weight": s.weight} for s in info.traffic] == history[0].traffic


def test_one_rollback_order_that_arrives_many_times_at_once_rolls_back_once(registry: FakeRegistry) -> None:
    for reference in ("1", "2", "3"):
        deploy(registry, reference)()
    order = {"endpoint": "digits", "actor": "alert", "reason": "drift", "idempotency_key": "alert-1"}
    assert run_together([lambda: services.roll_back_endpoint(**order)] * 4) == []  # type: ignore[arg-type]
    assert EndpointRevision.objects.filter(kind="rollback").count() == 1
    assert [share.version for share in selectors.get_endpoint("digits").traffic] == [2]
