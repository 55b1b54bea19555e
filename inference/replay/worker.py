"""The thread of a serving process that runs replays: one at a time, the versions in turn, at a low share.

The loop that follows the desired state looks for orders too and wakes the thread, which takes one only if all its
versions are loaded here, and keeps its claim while it runs. Nothing is recorded as live. Whatever kills it, another
process begins again.
"""

from __future__ import annotations

import threading
import time

import structlog
from django.db import Error
from django.utils import timezone

from aiplatform.contracts.inference import ReplayAnswer, ReplayedVersion, ReplayRequest
from aiplatform.errors import PlatformError
from aiplatform.features import summarise_predictions
from aiplatform.kept_connections import close_broken_connections, rest_connections
from inference.connections import tidy_connections
from inference.loaded import LoadedVersion
from inference.models import Replay
from inference.protocols.tensor_rules import check_inputs
from inference.protocols.tf_rows import arrays_from_instances
from inference.replay import orders
from inference.routing_table import RoutingTable
from inference.scheduler import Priority
from inference.shadow.pace import Pace, lower_priority

log = structlog.get_logger(__name__)

DEADLINE_S = 10.0
RENEW_S = orders.CLAIM_S / 4


class ReplayWorker:
    """Runs replays on what this process serves; `start` and `stop` once each."""

    def __init__(self, *, replica: str, table: RoutingTable, share: float) -> None:
        self._replica = replica
        self._table = table
        self._pace = Pace(share=share)
        self._is_called = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def start(self) -> None:
        """Run what `look_out` finds, until `stop`."""
        self._thread.start()

    def look_out(self) -> None:
        """Wake the thread if there is an order: one small query, for a loop that keeps its connection."""
        close_broken_connections()
        try:
            if orders.has_due_replays(timezone.now()):
                self._is_called.set()
        except Error as error:
            log.warning("replays_not_read", error=str(error))
        finally:
            rest_connections()

    def stop(self, timeout_s: float) -> None:
        """Run no more; what is half done is begun again elsewhere."""
        self._pace.stop()
        self._is_called.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    @tidy_connections()
    def look(self) -> bool:
        """Run one order if there is one for what is loaded here; say whether there was."""
        for row in orders.list_due_replays(timezone.now()):
            loaded = self._loaded(row)
            if loaded is not None and orders.claim_replay(row, self._replica, timezone.now()):
                self._replay(row, loaded)
                return True
        return False

    def _run(self) -> None:
        lower_priority()
        while not self._pace.is_stopping:
            self._is_called.wait()
            self._is_called.clear()
            try:
                while not self._pace.is_stopping and self.look():
                    pass
            except Error as error:
                log.warning("replays_not_read", error=str(error))
            except Exception:  # the thread must outlive any one replay
                log.exception("replay_failed")

    def _loaded(self, row: Replay) -> list[LoadedVersion] | None:
        route = self._table.routes.get(row.endpoint)
        found = [route.versions.get(int(version)) for version in row.versions] if route else [None]
        return None if None in found else [loaded for loaded in found if loaded is not None]

    def _replay(self, row: Replay, loaded: list[LoadedVersion]) -> None:
        answers: dict[int, list[ReplayAnswer]] = {version.version: [] for version in loaded}
        renew_at = time.monotonic() + RENEW_S
        for request in orders.read_requests(row):
            for version in loaded:
                self._pace.wait_while(lambda: any(v.queue.depth > 0 for v in loaded), longest_s=DEADLINE_S)
                with self._pace.step():
                    answers[version.version].append(_answer(version, request))
            if self._pace.is_stopping:
                return
            if time.monotonic() >= renew_at:
                renew_at = time.monotonic() + RENEW_S
                if not orders.renew_claim(row, self._replica, timezone.now()):
                    return
        results = tuple(ReplayedVersion(version=v, answers=tuple(some)) for v, some in answers.items())
        orders.finish_replay(row, self._replica, results)
        log.info("replay_done", key=row.key, endpoint=row.endpoint, versions=row.versions)


def _answer(loaded: LoadedVersion, request: ReplayRequest) -> ReplayAnswer:
    started = time.monotonic()
    if not loaded.hold():  # it began to drain
        return _failure(request, 503, started, "the version is being unloaded")
    try:
        signature = loaded.manifest.signature
        inputs = arrays_from_instances(list(request.instances), signature)
        check_inputs(signature, inputs)
        started = time.monotonic()
        outputs = loaded.queue.run_blocking(inputs, deadline=started + DEADLINE_S, priority=Priority.SHADOW)
        latency_ms = (time.monotonic() - started) * 1000
        said = summarise_predictions(outputs, loaded.manifest.labels)
        return ReplayAnswer(
            prediction_id=request.prediction_id,
            http_status=200,
            latency_ms=latency_ms,
            labels=tuple(said.labels or ()),
            values=tuple(said.values or ()),
        )
    except PlatformError as error:
        return _failure(request, error.http_status, started, error.message)
    except Exception as error:  # whatever an engine raises is the version's failure, not the replay's
        log.exception("replayed_request_failed", endpoint=loaded.endpoint, version=loaded.version)
        return _failure(request, 500, started, f"{type(error).__name__}: {error}")
    finally:
        loaded.release()


def _failure(request: ReplayRequest, http_status: int, started: float, message: str) -> ReplayAnswer:
    latency_ms = (time.monotonic() - started) * 1000
    return ReplayAnswer(
        prediction_id=request.prediction_id, http_status=http_status, latency_ms=latency_ms, error=message[:500]
    )
