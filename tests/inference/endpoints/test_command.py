"""`manage.py endpoints`, as a person and as a script use it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from aiplatform.contracts.inference import ReplicaState
from inference import services
from inference.reconcile.store import DatabaseStore, StatusRow
from tests.inference.endpoints.fakes import FakeRegistry

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("endpoints", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def two_versions(registry: FakeRegistry) -> None:
    for reference in ("1", "2"):
        services.deploy_version(
            endpoint="digits", model="digits", reference=reference, actor="ann", reason="try", registry=registry
        )


def be_ready(version: int, generation: int, state: ReplicaState = ReplicaState.READY, message: str = "") -> None:
    row = StatusRow(endpoint="digits", version=version, state=state, message=message, generation_seen=generation)
    DatabaseStore().write_status("r1", [row])


def test_a_list_shows_each_endpoint_on_a_line(two_versions: None) -> None:
    lines = run("list").splitlines()
    assert lines[0].split() == ["ENDPOINT", "STATE", "MODEL", "GENERATION", "TRAFFIC"]
    assert lines[1].split() == ["digits", "not", "served", "digits", "2", "version", "2:", "100%"]


def test_without_endpoints_the_list_says_so() -> None:
    assert run("list").strip() == "no endpoints"


def test_one_endpoint_is_shown_with_replicas_and_history(two_versions: None) -> None:
    be_ready(2, 2)
    text = run("show", "digits")
    assert "r1  version 2  ready" in text
    assert "#1" in text and "deploy digits version 1: 100% by ann: try" in text


def test_traffic_and_rollback_change_the_desired_state(two_versions: None) -> None:
    assert "version 1: 25%, version 2: 75% is ordered" in run("traffic", "digits", "2=75", "1=25")
    assert "back to version 2: 100%" in run("rollback", "digits", "--reason", "worse")


def test_json_is_for_scripts(two_versions: None) -> None:
    shown: dict[str, Any] = json.loads(run("show", "digits", "--json"))
    assert shown["traffic"] == [{"version": 2, "weight": 100}]
    assert [endpoint["name"] for endpoint in json.loads(run("list", "--json"))] == ["digits"]


def test_waiting_ends_when_the_replicas_serve_the_order(two_versions: None) -> None:
    be_ready(2, 3)
    assert "digits is ready" in run("traffic", "digits", "2=100", "--wait", "--timeout", "5")


def test_waiting_ends_with_exit_code_3_and_a_reason(two_versions: None) -> None:
    with pytest.raises(CommandError, match=r"is `manage\.py serve` running") as none:
        run("traffic", "digits", "2=100", "--wait", "--timeout", "0.1")
    be_ready(2, 3, ReplicaState.FAILED, "the file is altered")
    with pytest.raises(CommandError, match="the file is altered") as broken:
        run("traffic", "digits", "2=100", "--wait", "--timeout", "30")
    be_ready(2, 3)
    with pytest.raises(CommandError, match="still loading on: r1") as late:
        run("traffic", "digits", "2=100", "--wait", "--timeout", "0.1")
    assert {error.value.returncode for error in (none, broken, late)} == {3}


def test_an_order_that_is_refused_ends_with_exit_code_1(two_versions: None) -> None:
    for words in (["show", "nobody"], ["traffic", "digits", "1=50"], ["traffic", "digits", "one"]):
        with pytest.raises(CommandError) as error:
            run(*words)
        assert error.value.returncode == 1


def test_a_deleted_endpoint_is_no_longer_listed(two_versions: None) -> None:
    assert "deleted" in run("delete", "digits")
    assert run("list").strip() == "no endpoints"
