"""A replica follows the desired state."""

from __future__ import annotations

import pytest

from aiplatform.contracts.inference import ReplicaState
from inference.routing_table import RoutingTable
from tests.inference.endpoints.fakes import poll
from tests.inference.reconcile.conftest import Bench


def test_a_version_is_loaded_beside_then_switched_then_the_old_one_dropped(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    bench.loader.gate.clear()
    bench.want((2, 100))
    bench.replica.step()
    bench.replica.step()
    assert bench.served() == {1: 100}
    assert bench.states() == {1: ReplicaState.READY, 2: ReplicaState.LOADING}
    bench.loader.gate.set()
    bench.settle(v2=100)
    poll(lambda: bench.states() == {2: ReplicaState.READY}, act=bench.replica.step)
    assert [engine.is_closed for engine in bench.loader.engines] == [True, False]


def test_an_old_version_is_dropped_only_when_its_last_request_is_answered(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    held = bench.table.hold("digits")
    bench.want((2, 100))
    bench.settle(v2=100)
    poll(lambda: bench.states().get(1) is ReplicaState.DRAINING, act=bench.replica.step)
    assert not bench.loader.engines[0].is_closed
    held.release()
    poll(lambda: 1 not in bench.states(), act=bench.replica.step)
    assert [engine.is_closed for engine in bench.loader.engines] == [True, False]


def test_a_changed_split_loads_nothing_again(bench: Bench) -> None:
    bench.want((1, 90), (2, 10))
    bench.settle(v1=90, v2=10)
    bench.want((1, 10), (2, 90))
    bench.settle(v1=10, v2=90)
    assert len(bench.loader.engines) == 2


def test_a_version_with_no_share_is_loaded_and_can_be_asked_for(bench: Bench) -> None:
    bench.want((1, 100), (2, 0))
    bench.settle(v1=100, v2=0)
    assert bench.table.choose("digits", version=2).version == 2
    assert {bench.table.choose("digits").version for _ in range(50)} == {1}


def test_a_version_that_does_not_load_leaves_the_old_traffic_and_says_why(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    bench.want((2, 100))
    bench.break_artifact(2)
    poll(lambda: bench.states().get(2) is ReplicaState.FAILED, act=bench.replica.step)
    assert bench.served() == {1: 100}
    (problem,) = bench.replica.report()["endpoints"]["digits"]["problems"]
    assert "altered" in problem
    assert bench.replica.report()["endpoints"]["digits"]["is_serving"]
    assert not bench.replica.report()["endpoints"]["digits"]["is_current"]


def test_an_engine_that_computes_something_else_is_refused(bench: Bench) -> None:
    class Wrong(type(bench.loader)):  # type: ignore[misc]
        def _open(self, folder: object, manifest: object, options: object) -> object:
            engine = super()._open(folder, manifest, options)
            engine.factor += 0.5
            return engine

    bench.want((1, 100))
    bench.settle(v1=100)
    bench.loader.__class__ = Wrong
    bench.want((2, 100))
    poll(lambda: bench.states().get(2) is ReplicaState.FAILED, act=bench.replica.step)
    assert bench.served() == {1: 100}


def test_a_failed_version_is_tried_again_and_taken_when_it_is_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.reconcile.slots.FIRST_RETRY_S", 0.05)
    bench.want((1, 100))
    factor = bench.registry.root / "digits" / "1" / "model" / "factor.txt"
    bench.break_artifact(1)
    poll(lambda: bench.states().get(1) is ReplicaState.FAILED, act=bench.replica.step)
    factor.write_text("1.0")
    bench.settle(v1=100)
    assert bench.states() == {1: ReplicaState.READY}


def test_returning_to_the_old_version_while_the_new_one_fails_keeps_it_loaded(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    bench.want((2, 100))
    bench.break_artifact(2)
    poll(lambda: bench.states().get(2) is ReplicaState.FAILED, act=bench.replica.step)
    bench.want((1, 100))
    poll(lambda: bench.states() == {1: ReplicaState.READY}, act=bench.replica.step)
    assert len(bench.loader.engines) == 1


def test_a_deleted_endpoint_is_no_longer_served_and_the_others_are(bench: Bench) -> None:
    bench.want((1, 100))
    bench.want((1, 100), endpoint="other")
    poll(lambda: bench.served("digits") and bench.served("other"), act=bench.replica.step)
    del bench.store.desired["digits"]
    poll(lambda: "digits" not in bench.table.routes, act=bench.replica.step)
    assert bench.served("other") == {1: 100}
    poll(lambda: bench.loader.engines[0].is_closed, act=bench.replica.step)


def test_a_slow_load_does_not_hold_up_another_endpoint(bench: Bench) -> None:
    bench.want((1, 50), (2, 50), endpoint="other")
    poll(lambda: bench.served("other") == {1: 50, 2: 50}, act=bench.replica.step)
    bench.loader.gate.clear()
    bench.want((3, 100))
    bench.replica.step()
    bench.want((1, 1), (2, 99), endpoint="other")
    bench.replica.step()
    assert bench.served("other") == {1: 1, 2: 99}


def test_aliases_of_served_versions_are_labels(bench: Bench) -> None:
    bench.registry.aliases["digits", "champion"] = 1
    bench.registry.aliases["digits", "old"] = 7
    bench.want((1, 100))
    bench.settle(v1=100)
    poll(lambda: dict(bench.table.routes["digits"].labels) == {"champion": 1}, act=bench.replica.step)


def test_a_replica_is_ready_when_every_endpoint_was_tried(bench: Bench) -> None:
    bench.want((1, 100))
    bench.loader.gate.clear()
    bench.replica.step()
    assert not bench.replica.report()["is_ready"]
    bench.loader.gate.set()
    poll(lambda: bench.replica.report()["is_ready"], act=bench.replica.step)


def test_one_endpoint_that_fails_does_not_make_the_whole_replica_unready(bench: Bench) -> None:
    bench.want((1, 100))
    bench.break_artifact(1)
    bench.want((2, 100), endpoint="other")
    poll(lambda: bench.replica.report()["is_ready"], act=bench.replica.step)
    assert bench.served("other") == {2: 100}


def test_a_stopped_replica_has_closed_its_engines_and_says_no_more(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    bench.replica.stop(1)
    assert bench.loader.engines[0].is_closed
    assert bench.store.told == {}
    assert isinstance(bench.table, RoutingTable) and not bench.table.routes
