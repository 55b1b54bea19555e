"""Recorded requests run again: on what is loaded, once, and again elsewhere after a crash."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from aiplatform.contracts.inference import OrderReplay, ReplayReport, ReplayRequest
from aiplatform.errors import InvalidInputError, NotFoundError, PayloadTooLargeError
from inference.models import Endpoint, Replay
from inference.replay import orders
from inference.replay.worker import ReplayWorker
from inference.routing_table import RoutingTable
from tests.inference.serving_fakes import POISON, FakeEngine, ListRecorder, make_loaded, route_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def table() -> Iterator[RoutingTable]:
    Endpoint.objects.create(name="double", model="double")
    one, two = make_loaded(FakeEngine()), make_loaded(FakeEngine(factor=3.0), version=2)
    table = RoutingTable()
    table.swap({"double": route_of(one, two, weights={1: 100, 2: 0})})
    yield table
    one.close()
    two.close()


def worker(table: RoutingTable, name: str = "r1") -> ReplayWorker:
    return ReplayWorker(replica=name, table=table, share=1.0)


def order(*values: float, key: str = "k", versions: tuple[int, ...] = (1, 2)) -> ReplayReport:
    requests = tuple(
        ReplayRequest(prediction_id=f"p{place}", instances=([value, value],)) for place, value in enumerate(values)
    )
    return orders.order_replay(OrderReplay(key=key, endpoint="double", versions=versions, requests=requests))


def test_every_request_is_answered_by_every_version_and_nothing_is_recorded(table: RoutingTable) -> None:
    recorder = ListRecorder()
    assert order(1.0, POISON, 2.0).state == "queued"
    assert worker(table).look()
    report = orders.get_replay("k")
    assert report.state == "done"
    assert [(r.version, [a.http_status for a in r.answers]) for r in report.results] == [
        (1, [200, 500, 200]),
        (2, [200, 500, 200]),
    ]
    assert report.results[0].answers[1].error
    assert recorder.events == []
    assert bytes(Replay.objects.get().requests) == b""


def test_ordering_the_same_key_again_runs_nothing_twice(table: RoutingTable) -> None:
    order(1.0)
    worker(table).look()
    assert order(1.0).state == "done"
    assert not worker(table).look()


class WatchedWorker(ReplayWorker):
    """Counts its looks instead of running what it finds."""

    def __init__(self, table: RoutingTable) -> None:
        super().__init__(replica="r1", table=table, share=1.0)
        self.has_looked = threading.Event()

    def look(self) -> bool:
        self.has_looked.set()
        return False


def test_the_thread_asks_the_database_nothing_until_an_order_is_seen(table: RoutingTable) -> None:
    watched = WatchedWorker(table)
    watched.start()
    try:
        watched.look_out()
        assert not watched.has_looked.wait(0.1)
        order(1.0)
        watched.look_out()
        assert watched.has_looked.wait(10)
    finally:
        watched.stop(timeout_s=10)
    assert not watched._thread.is_alive()


def test_a_database_that_is_away_wakes_nobody_and_ends_nothing(table: RoutingTable) -> None:
    watched = WatchedWorker(table)
    watched.start()
    try:
        with connection.execute_wrapper(refuse):
            watched.look_out()
        assert not watched.has_looked.is_set()
    finally:
        watched.stop(timeout_s=10)
    assert not watched._thread.is_alive()


def refuse(*_: object) -> None:
    """Stand for a database that answers no query."""
    raise OperationalError("the database is away")


def test_a_replay_waits_for_a_process_that_has_its_versions(table: RoutingTable) -> None:
    order(1.0, versions=(1, 7))
    assert not worker(table).look()
    assert orders.get_replay("k").state == "queued"


def test_a_replay_of_a_killed_process_is_run_by_another_and_given_up_in_the_end(table: RoutingTable) -> None:
    order(1.0)
    for attempt in range(orders.MOST_ATTEMPTS):
        (row,) = orders.list_due_replays(timezone.now())
        assert orders.claim_replay(row, f"dead-{attempt}", timezone.now())
        assert orders.list_due_replays(timezone.now()) == []
        Replay.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
        if attempt == 0:
            assert not orders.finish_replay(row, "someone else", ())
    assert orders.list_due_replays(timezone.now()) == []
    assert (orders.get_replay("k").state, "given up" in orders.get_replay("k").message) == ("failed", True)


def test_two_processes_do_not_claim_the_same_replay(table: RoutingTable) -> None:
    order(1.0)
    (first,) = orders.list_due_replays(timezone.now())
    (second,) = orders.list_due_replays(timezone.now())
    assert orders.claim_replay(first, "a", timezone.now())
    assert not orders.claim_replay(second, "b", timezone.now())


def test_what_cannot_be_replayed_is_refused(table: RoutingTable, settings: object) -> None:
    with pytest.raises(InvalidInputError):
        order()
    with pytest.raises(NotFoundError):
        orders.get_replay("nobody")
    settings.REPLAY_MAX_BYTES = 10  # type: ignore[attr-defined]
    with pytest.raises(PayloadTooLargeError, match="REPLAY_MAX_BYTES"):
        order(1.0)
