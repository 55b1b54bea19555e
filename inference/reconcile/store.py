"""The database as the reconciler sees it: three calls, each of which may fail and be tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import Error, connections
from django.utils import timezone

from aiplatform.contracts.inference import ReplicaState
from aiplatform.errors import UnavailableError
from aiplatform.kept_connections import close_broken_connections, rest_connections
from inference.connections import tidy_connections
from inference.desired import DesiredEndpoint
from inference.models import ReplicaStatus
from inference.selectors import read_desired_state, read_generations

FORGOTTEN_AFTER_S = 600.0  # rows of replicas that were killed


@dataclass(frozen=True, kw_only=True)
class StatusRow:
    """What this replica says of one version."""

    endpoint: str
    version: int
    state: ReplicaState
    message: str
    generation_seen: int
    engine: str = ""


class DatabaseStore:
    """Reads desired state and writes status; UnavailableError while the database is away.

    It is asked every second by the same thread, whose connection to a database server is kept.
    """

    def __init__(self) -> None:
        self._generations: dict[str, int] | None = None
        self._desired: dict[str, DesiredEndpoint] = {}

    def read_desired(self) -> dict[str, DesiredEndpoint]:
        """Return the desired state; one small query as long as no generation has changed."""
        close_broken_connections()
        try:
            generations = read_generations()
            if generations != self._generations:
                self._desired = read_desired_state()
                self._generations = {name: wanted.generation for name, wanted in self._desired.items()}
            return self._desired
        except Error as error:
            raise _away(error) from error
        finally:
            rest_connections()

    def write_status(self, replica: str, rows: Sequence[StatusRow]) -> None:
        """Replace what this replica says; forget replicas that have long been silent."""
        close_broken_connections()
        now = timezone.now()
        fields = ["state", "message", "engine", "generation_seen", "heartbeat_at"]
        found = [
            ReplicaStatus(
                replica=replica, endpoint=row.endpoint, version=row.version, state=row.state.value,
                message=row.message, engine=row.engine, generation_seen=row.generation_seen, heartbeat_at=now,
            )
            for row in rows
        ]  # fmt: skip
        try:
            ReplicaStatus.objects.bulk_create(
                found,
                update_conflicts=True,
                unique_fields=["replica", "endpoint", "version"],
                update_fields=fields,
            )
            ReplicaStatus.objects.filter(replica=replica, heartbeat_at__lt=now).delete()
            ReplicaStatus.objects.filter(heartbeat_at__lt=now - timedelta(seconds=FORGOTTEN_AFTER_S)).delete()
        except Error as error:
            raise _away(error) from error
        finally:
            rest_connections()

    @tidy_connections()
    def remove_status(self, replica: str) -> None:
        """Say no more of this replica, which stops."""
        try:
            ReplicaStatus.objects.filter(replica=replica).delete()
        except Error as error:
            raise _away(error) from error


def _away(error: Error) -> UnavailableError:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()  # what broke once is not used again
    return UnavailableError(f"the database cannot be reached: {error}")
