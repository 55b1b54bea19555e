"""A whole serving process, as its lifespan starts and stops it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from aiplatform.http.in_process import in_process_client
from inference import services
from inference.models import ReplicaStatus
from inference.replica import Replica
from inference.serving import ServingRuntime, runtime
from tests.inference.endpoints.fakes import FakeRegistry, poll

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_replica_follows_the_database_from_its_start_and_leaves_nothing_at_its_stop(
    tmp_path: Path, settings: Any
) -> None:
    settings.DATA_DIR = tmp_path
    settings.RECONCILE_INTERVAL_S = 30.0  # so that only the order's own nudge can be in time
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("gateway.")]
    in_process_client.cache_clear()
    registry = FakeRegistry(tmp_path / "artifacts")
    registry.add("digits", 1)
    replica = Replica(ServingRuntime(runtime().options))
    asyncio.run(replica.start())
    try:
        poll(lambda: replica.reconciler.report()["is_ready"])
        services.deploy_version(endpoint="digits", model="digits", reference="1", actor="a", registry=registry)
        poll(lambda: ReplicaStatus.objects.filter(state="failed").exists(), what="the status in the database")
        status = ReplicaStatus.objects.get()
        assert (status.replica, status.generation_seen) == (replica.name, 1)
        assert "no engine runs times/text" in status.message
        assert [folder.name for folder in (tmp_path / "spool").iterdir()] == [replica.name]
    finally:
        asyncio.run(replica.stop())
        poll(lambda: not [t for t in threading.enumerate() if t.name.startswith("aliases")], what="the last question")
        in_process_client.cache_clear()
    assert not ReplicaStatus.objects.exists()
    assert not list((tmp_path / "spool").iterdir())
