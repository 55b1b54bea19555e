"""The database as the reconciler uses it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from aiplatform.contracts.inference import ReplicaState
from aiplatform.errors import UnavailableError
from inference import selectors, services
from inference.models import ReplicaStatus
from inference.reconcile.store import DatabaseStore, StatusRow
from tests.inference.endpoints.fakes import FakeRegistry

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry(tmp_path: Any) -> FakeRegistry:
    registry = FakeRegistry(tmp_path)
    for version in (1, 2):
        registry.add("digits", version)
        services.deploy_version(
            endpoint="digits", model="digits", reference=str(version), actor="ann", registry=registry
        )
    return registry


def row(version: int, state: ReplicaState = ReplicaState.READY, message: str = "") -> StatusRow:
    return StatusRow(endpoint="digits", version=version, state=state, message=message, generation_seen=2)


def test_the_desired_state_brings_all_that_is_needed_to_load(registry: FakeRegistry) -> None:
    wanted = DatabaseStore().read_desired()["digits"]
    assert wanted.generation == 2
    assert wanted.versions == (registry.versions["digits", 2],)


def test_a_desired_state_that_has_not_changed_costs_one_query(
    registry: FakeRegistry, django_assert_num_queries: Any
) -> None:
    store = DatabaseStore()
    store.read_desired()
    with django_assert_num_queries(1):
        store.read_desired()
    services.roll_back_endpoint(endpoint="digits", actor="bob", reason="worse")
    assert [info.version for info in store.read_desired()["digits"].versions] == [1]


def test_an_endpoint_is_ready_when_a_live_replica_serves_all_its_traffic(registry: FakeRegistry) -> None:
    store = DatabaseStore()
    store.write_status("r1", [row(2, ReplicaState.LOADING)])
    assert not selectors.get_endpoint("digits").is_ready
    store.write_status("r1", [row(2)])
    assert selectors.get_endpoint("digits").is_ready
    ReplicaStatus.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=60))
    endpoint = selectors.get_endpoint("digits")
    assert not endpoint.is_ready and endpoint.replicas == ()


def test_a_replica_replaces_what_it_said_and_leaves_the_others_alone(registry: FakeRegistry) -> None:
    store = DatabaseStore()
    store.write_status("r1", [row(1), row(2)])
    store.write_status("r2", [row(1)])
    store.write_status("r1", [row(2, ReplicaState.FAILED, "no")])
    assert [(r.replica, r.version, r.message) for r in selectors.get_endpoint("digits").replicas] == [
        ("r2", 1, ""), ("r1", 2, "no")
    ]  # fmt: skip
    store.remove_status("r1")
    assert set(ReplicaStatus.objects.values_list("replica", flat=True)) == {"r2"}


def test_replicas_that_were_killed_are_forgotten_in_time(registry: FakeRegistry) -> None:
    store = DatabaseStore()
    store.write_status("dead", [row(1)])
    ReplicaStatus.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    store.write_status("alive", [row(2)])
    assert set(ReplicaStatus.objects.values_list("replica", flat=True)) == {"alive"}


def test_a_database_that_fails_is_reported_as_away(registry: FakeRegistry) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE inference_endpoint RENAME TO elsewhere")
    with pytest.raises(UnavailableError, match="the database cannot be reached"):
        DatabaseStore().read_desired()
