"""How long a bad challenger stays in a canary, on a real platform: `python -m benchmarks.rollback`.

It starts a platform of its own (one process tree, SQLite, the default settings) and sends requests of many callers
with labels. For each fault a challenger that is as good as the champion gets a canary; once it has answered for some
seconds, all requests carry the mark that makes it fail, slow or wrong. Told are the seconds

fault -> evidence     until what the callers had seen by then was enough for the canary's own test: no platform that
                      sees all at once could decide sooner (but for slow answers: a platform times its own part alone)
evidence -> verdict   until the platform had decided: shipping, counting, looking
verdict -> back       until every serving process had the traffic before
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bad_challengers import INPUT, LABELS, MARK, Fault, make_rows, write_model
from benchmarks.machine import describe_machine
from monitoring.rollouts.gates.canary import VersionCounts, judge_canary
from monitoring.rollouts.policy import Policy
from monitoring.rollouts.vocabulary import Verdict
from tests.e2e.topology import Platform, single, wait_until

ENDPOINT = "bad"
CHAMPION, CHALLENGER = 0, 1  # the arms
CALLERS = 200
SENDERS = 4
PER_S = 40.0  # requests of all senders together, of which each is one row
LABELS_AT_ONCE = 20
HEALTHY_ANSWERS = 60  # of the challenger, before its fault
GOAL_S = 30.0
ALONE_S = 10.0  # the champion alone, so that its p95 is known
PATIENCE_S = 180.0
ENDED = ("rolled_back", "promoted", "superseded", "aborted")
# The canary alone, which stays in its first step; all that the test goes by is left as it is by default.
CANARY: dict[str, Any] = {
    "validation_margin": 1, "replay_requests": 0, "shadow_s": 0, "steps": [25, 100], "step_s": 3600,
    "engine_patience_s": 0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as its caller saw it; `arm` is which of the two versions it went to."""

    at: float
    arm: int
    is_error: bool
    latency_ms: float
    prediction_id: str = ""
    label: str = ""
    is_right: bool = False
    labelled_at: float | None = None


@dataclass
class Callers:
    """Many callers, each of whom stays with one version of a split; with the truth about each answer."""

    platform: Platform
    champion: int
    calls: list[Call] = field(default_factory=list)
    mark: float = 0.0
    _unlabelled: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def calling(self) -> Iterator[Callers]:
        """Send while the block runs."""
        threads = [threading.Thread(target=self._send_all, args=(number,)) for number in range(SENDERS)]
        threads.append(threading.Thread(target=self._label_all))
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def answers(self, arm: int, *, since: float) -> int:
        """Return how many answers an arm has given."""
        return sum(call.arm == arm and not call.is_error for call in list(self.calls) if call.at >= since)

    def _send_all(self, sender: int) -> None:
        rows, labels = make_rows(500, seed=sender)
        for number in itertools.count():
            place, caller = number % len(rows), (number * SENDERS + sender) % CALLERS
            call = self._send(caller, rows[place], labels[place])
            if call is not None:
                with self._lock:
                    self.calls.append(call)
                    if call.prediction_id:
                        self._unlabelled.append(call)
            if self._is_over.wait(SENDERS / PER_S):
                return

    def _send(self, caller: int, row: np.ndarray[Any, Any], label: str) -> Call | None:
        """Return what a caller saw; None if it was turned away before any version was asked."""
        body = {"instances": [[*row[:MARK].tolist(), self.mark]]}
        started = time.perf_counter()
        answer = self.platform.request(
            "POST", f"/v1/models/{ENDPOINT}:predict", json=body, headers={"X-Routing-Key": f"caller-{caller}"}
        )
        latency_ms = (time.perf_counter() - started) * 1000
        version = answer.headers.get("X-Model-Version")
        if version is None and answer.status_code == 503:
            return None
        if answer.status_code < 500:
            answer.raise_for_status()
        arm = CHAMPION if int(version) == self.champion else CHALLENGER
        if answer.status_code >= 500:
            return Call(at=time.time(), arm=arm, is_error=True, latency_ms=latency_ms)
        said = LABELS[int(np.argmax(answer.json()["predictions"][0]))]
        return Call(
            at=time.time(), arm=arm, is_error=False, latency_ms=latency_ms, is_right=said == label, label=label,
            prediction_id=answer.headers["X-Prediction-Id"],
        )  # fmt: skip

    def _label_all(self) -> None:
        while not self._is_over.wait(0.2):
            with self._lock:
                some, self._unlabelled = self._unlabelled[:LABELS_AT_ONCE], self._unlabelled[LABELS_AT_ONCE:]
            if not some:
                continue
            items = [{"prediction_id": call.prediction_id, "label": call.label} for call in some]
            self.platform.post_json("/api/monitoring/feedback/", {"items": items})
            now = time.time()
            with self._lock:
                self.calls.extend(replace(call, labelled_at=now) for call in some)


@dataclass(frozen=True, kw_only=True)
class Turned:
    """How a rollout ended, and when what happened; times are seconds since the epoch."""

    rollout: dict[str, Any]
    fault_at: float
    evidence_at: float | None
    verdict_at: float
    ended_at: float
    last_sent_at: float  # of what the challenger answered
    requests_per_s: float

    @property
    def enough_at(self) -> float:
        """Return when there was enough evidence: the callers' own, or the platform's if that sufficed before."""
        return self.verdict_at if self.evidence_at is None else min(self.evidence_at, self.verdict_at)


def bring_models(platform: Platform, folder: Path) -> dict[Fault, int]:
    """Import a model of each fault, and deploy the one without; return their versions."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, labels = make_rows(200, seed=99)
    arrays: dict[str, Any] = {INPUT: rows, "labels": np.array(labels)}
    np.savez(folder / "rows.npz", **arrays)
    versions = {}
    for version, fault in enumerate(Fault, start=1):
        write_model(folder / f"{fault}.onnx", fault)
        order = ("models", "import", str(folder / f"{fault}.onnx"), "--name", ENDPOINT, "--labels", ",".join(LABELS))
        platform.run_manage(*order, "--samples", str(folder / "rows.npz"), *(["--deploy"] if version == 1 else []))
        versions[fault] = version
    wait_until(
        lambda: platform.request("GET", f"/v2/models/{ENDPOINT}/versions/1/ready").status_code == 200,
        within_s=90,
        what="the champion is served",
    )
    return versions


def turn_back(platform: Platform, versions: dict[Fault, int], fault: Fault, start: Callable[[int], int]) -> Turned:
    """Have a challenger go bad in its canary and wait until it is turned back; `start` orders its rollout."""
    with Callers(platform, versions[Fault.NONE]).calling() as callers:
        time.sleep(ALONE_S)
        pk = start(versions[fault])
        step = wait_until(lambda: _canary(platform, pk), within_s=PATIENCE_S, what=lambda: _told(platform, pk))
        began = datetime.fromisoformat(step["started_at"]).timestamp()
        wait_until(
            lambda: callers.answers(CHALLENGER, since=began) >= HEALTHY_ANSWERS,
            within_s=PATIENCE_S,
            what=lambda: f"the challenger answers; {_told(platform, pk)}",
        )
        callers.mark, fault_at = 1.0, time.time()
        rollout = wait_until(lambda: _ended(platform, pk), within_s=PATIENCE_S, what=lambda: _told(platform, pk))
        time.sleep(1.0)
    times = [datetime.fromisoformat(rollout[name]).timestamp() for name in ("failed_at", "ended_at")]
    sent = [call for call in callers.calls if call.labelled_at is None]
    return Turned(
        rollout=rollout, fault_at=fault_at, verdict_at=times[0], ended_at=times[1],
        evidence_at=moment_of_evidence(callers.calls, began),
        last_sent_at=max(call.at - call.latency_ms / 1000 for call in sent if call.arm == CHALLENGER),
        requests_per_s=len(sent) / (sent[-1].at - sent[0].at),
    )  # fmt: skip


def moment_of_evidence(calls: list[Call], began: float) -> float | None:
    """Return when the callers' own counts since the canary began let its test decide; None if they never did."""
    before = [call.latency_ms for call in calls if call.at < began and call.arm == CHAMPION and not call.is_error]
    slow_ms = float(np.quantile(before, 0.95))
    counts = [VersionCounts(), VersionCounts()]
    for call in sorted(calls, key=lambda call: call.labelled_at or call.at):
        if call.at < began:
            continue
        counts[call.arm] += _counted(call, slow_ms)
        finding = judge_canary(
            counts[CHAMPION], counts[CHALLENGER], Policy(**{**CANARY, "steps": tuple(CANARY["steps"])}), elapsed_s=0
        )
        if finding.verdict is Verdict.FAIL:
            return call.labelled_at or call.at
    return None


def _counted(call: Call, slow_ms: float) -> VersionCounts:
    if call.labelled_at is not None:
        return VersionCounts(labelled=1, wrong=int(not call.is_right))
    if call.is_error:
        return VersionCounts(requests=1, errors=1)
    return VersionCounts(requests=1, answered=1, slow=int(call.latency_ms > slow_ms))


def _canary(platform: Platform, pk: int) -> Any:
    steps = platform.get_json(f"/api/monitoring/rollouts/{pk}/")["steps"]
    return next((step for step in steps if step["kind"] == "canary" and step["started_at"]), None)


def _ended(platform: Platform, pk: int) -> Any:
    rollout = platform.get_json(f"/api/monitoring/rollouts/{pk}/")
    return rollout if rollout["state"] in ENDED else None


def _told(platform: Platform, pk: int) -> str:
    rollout = platform.get_json(f"/api/monitoring/rollouts/{pk}/")
    return f"rollout {pk} is {rollout['state']}: {rollout['reason'] or rollout['waiting_for']}"


def main() -> int:
    """Turn a challenger of each fault back, and print the seconds; 1 if one took longer than the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rollback-") as name:
        platform = single(Path(name) / "platform")
        try:
            platform.start()
            return measure(platform, Path(name) / "models", options.rounds)
        finally:
            platform.stop()


def measure(platform: Platform, folder: Path, rounds: int) -> int:
    """Measure all faults so many times."""

    def start(version: int) -> int:
        order = {"endpoint": ENDPOINT, "challenger": str(version), "policy": CANARY, "reason": "measurement"}
        return int(platform.post_json("/api/monitoring/rollouts/", order)["id"])

    versions = bring_models(platform, folder)
    print(f"{describe_machine()}\n{'challenger':<11}{'fault->evidence':>16}{'->verdict':>11}{'->back':>8}", end="")
    print(f"{'evidence->back':>16}{'requests/s':>12}   verdict")
    is_good = True
    for fault in [Fault.FAILS, Fault.SLOW, Fault.WRONG] * rounds:
        turned = turn_back(platform, versions, fault, start)
        enough, took_s = turned.enough_at, turned.ended_at - turned.enough_at
        is_good &= turned.rollout["state"] == "rolled_back" and took_s <= GOAL_S
        print(
            f"{fault:<11}{enough - turned.fault_at:>16.1f}{turned.verdict_at - enough:>11.1f}"
            f"{turned.ended_at - turned.verdict_at:>8.1f}{took_s:>16.1f}"
            f"{turned.requests_per_s:>12.0f}   {turned.rollout['state']}: {turned.rollout['reason']}",
            flush=True,
        )
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
