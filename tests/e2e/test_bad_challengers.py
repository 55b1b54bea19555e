"""A challenger that begins to fail in its canary is turned back by itself, and the command that waits for it says so.

How long it takes is measured by benchmarks/rollback.py, which goes the same way; no test asks for it, for a
machine may be busy.
"""

from __future__ import annotations

import subprocess
import threading
from typing import Any

import pytest

from benchmarks.bad_challengers import Fault
from benchmarks.rollback import CANARY, ENDPOINT, Turned, bring_models, turn_back
from tests.e2e.topology import Platform, wait_until

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(420), pytest.mark.xdist_group("e2e")]

ROLLOUTS = f"/api/monitoring/rollouts/?endpoint={ENDPOINT}"
SET = [f"{name}={','.join(map(str, v)) if isinstance(v, list) else v}" for name, v in CANARY.items()]


@pytest.fixture(scope="module")
def versions(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[Fault, int]:
    """Give the versions of the models that go bad; the one that does not is served."""
    return bring_models(platform, tmp_path_factory.mktemp("models"))


def start_and_wait(platform: Platform, version: int, *more: str) -> subprocess.CompletedProcess[str]:
    order = ("rollouts", "start", ENDPOINT, str(version), "--reason", "trained on May", "--set", *SET, "--wait")
    return platform.run_manage(*order, *more, check=False)


def weights(platform: Platform) -> dict[int, int]:
    """Return percent by version, of those that get any."""
    traffic = platform.get_json(f"/api/inference/endpoints/{ENDPOINT}/")["traffic"]
    return {share["version"]: share["weight"] for share in traffic if share["weight"]}


def test_a_wait_that_is_over_in_time_leaves_the_rollout_going_on(
    platform: Platform, versions: dict[Fault, int]
) -> None:
    done = start_and_wait(platform, versions[Fault.WRONG], "--timeout", "2")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "not over in time" in done.stderr
    rollout = platform.get_json(ROLLOUTS)["results"][0]
    assert rollout["state"] not in ("rolled_back", "promoted", "superseded", "aborted")
    aborted = platform.run_manage("rollouts", "abort", str(rollout["id"]))
    assert aborted.returncode == 0
    wait_until(
        lambda: platform.get_json(ROLLOUTS)["results"][0]["state"] == "aborted", within_s=90, what="it is aborted"
    )


def test_a_challenger_that_answers_5xx_in_its_canary_is_turned_back_and_the_waiting_command_says_why(
    platform: Platform, versions: dict[Fault, int]
) -> None:
    told: list[subprocess.CompletedProcess[str]] = []
    waiting: list[threading.Thread] = []

    def start(version: int) -> int:
        before = {rollout["id"] for rollout in platform.get_json(ROLLOUTS)["results"]}
        waiting.append(threading.Thread(target=lambda: told.append(start_and_wait(platform, version))))
        waiting[0].start()

        def newest() -> Any:
            return next((r["id"] for r in platform.get_json(ROLLOUTS)["results"] if r["id"] not in before), None)

        return int(wait_until(newest, within_s=90, what=lambda: f"the rollout begins {told}"))

    turned = turn_back(platform, versions, Fault.FAILS, start)
    assert_turned_back(turned)
    assert weights(platform) == {versions[Fault.NONE]: 100}
    waiting[0].join(timeout=60)
    assert told[0].returncode == 1, told[0].stdout + told[0].stderr
    assert "canary 25%" in told[0].stdout and "failed" in told[0].stdout.lower()
    assert "it is rolled back: canary 25%: errors" in told[0].stderr
    shown = platform.run_manage("rollouts", "show", str(turned.rollout["id"])).stdout
    assert "errors" in shown
    timeline = platform.run_manage("rollouts", "timeline", ENDPOINT).stdout
    assert "the champion's 0.0%" in timeline and "back to version 1" in timeline


def assert_turned_back(turned: Turned) -> None:
    rollout = turned.rollout
    assert rollout["state"] == "rolled_back", rollout
    assert rollout["reason"].startswith("canary 25%: errors")
    assert turned.fault_at < turned.verdict_at <= turned.ended_at
    assert turned.evidence_at is not None and turned.fault_at < turned.evidence_at
    assert turned.last_sent_at < turned.ended_at + 0.5, "who asked after it, was answered by the champion"
