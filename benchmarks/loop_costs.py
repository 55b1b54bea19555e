"""What the loop costs and how fast it turns back, on a running platform: `python -m benchmarks.loop_costs`.

Run `make demo` first and leave it running (or start it again with `make serve`); it needs an endpoint of
pictures with a champion and a version that is worse. One connection in a closed loop sends labelled pictures.

shadow: seconds with a shadow and without alternate; the ratio of what was answered, and of the latencies.
rollback: the worse version is put up with the canary as its only gate; from its first labelled answer to the end.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from datetime import datetime
from typing import Any

import httpx

from deploy.demo.pictures import load_pictures

ROUND_S = 4.0
CANARY = {
    "validation_margin": 1, "replay_requests": 0, "shadow_s": 0, "steps": [25, 100], "step_s": 60, "min_samples": 500,
    "min_labels": 20, "engine_patience_s": 0, "latency_margin": 0.95,
}  # fmt: skip


def main() -> None:
    """Measure both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--token", required=True, help="with the scope admin")
    parser.add_argument("--endpoint", default="digits")
    parser.add_argument("--worse", type=int, required=True, help="a version of the endpoint's model that is worse")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--inverted", action="store_true", help="send inverted pictures")
    options = parser.parse_args()
    headers = {"Authorization": f"Bearer {options.token}"}
    with httpx.Client(base_url=options.url, headers=headers, timeout=30, trust_env=False) as client:
        camera = Camera(client, options.endpoint, is_inverted=options.inverted)
        measure_shadow(camera, options.worse, options.rounds)
        measure_rollback(camera, options.worse)


class Camera:
    """Sends one picture after the other, and the truth about some of them."""

    def __init__(self, client: httpx.Client, endpoint: str, *, is_inverted: bool) -> None:
        self.client, self.endpoint = client, endpoint
        pictures = load_pictures("digits")
        rows = list(pictures.drifted(1000) if is_inverted else pictures.clean(1000))
        self.rows = itertools.cycle([({"instances": [image]}, label) for image, label in rows])

    def send(self) -> tuple[float, str, str]:
        """Return latency in milliseconds, the prediction's id, and the truth."""
        body, label = next(self.rows)
        started = time.perf_counter()
        response = self.client.post(f"/v1/models/{self.endpoint}:predict", json=body)
        response.raise_for_status()
        return (time.perf_counter() - started) * 1000, response.headers["X-Prediction-Id"], label

    def order(self, path: str, body: Any) -> Any:
        """Return the answer to an order."""
        response = self.client.post(path, json=body)
        response.raise_for_status()
        return response.json()


def measure_shadow(camera: Camera, version: int, rounds: int) -> None:
    """Print what a shadow does to live answers."""
    path = f"/api/inference/endpoints/{camera.endpoint}/shadow/"
    camera.order(path, {"version": version, "reason": "measurement"})
    time.sleep(8)  # loaded, and its engine settled
    found: dict[bool, list[list[float]]] = {True: [], False: []}
    for number in range(2 * rounds):
        has_shadow = number % 2 == 0
        camera.order(path, {"version": version if has_shadow else None, "reason": "measurement"})
        time.sleep(2)
        until, latencies = time.monotonic() + ROUND_S, []
        while time.monotonic() < until:
            latencies.append(camera.send()[0])
        found[has_shadow].append(latencies)
    camera.order(path, {"version": None, "reason": "measurement"})
    rate = {key: statistics.median(len(some) / ROUND_S for some in rows) for key, rows in found.items()}
    p50 = {key: statistics.median(statistics.median(some) for some in rows) for key, rows in found.items()}
    p99 = {
        key: statistics.median(statistics.quantiles(some, n=100)[98] for some in rows) for key, rows in found.items()
    }
    for name, values in (("requests/s", rate), ("p50 ms", p50), ("p99 ms", p99)):
        ratio = values[True] / values[False]
        print(f"{name:<12} alone {values[False]:8.2f}   with a shadow {values[True]:8.2f}   ratio {ratio:.3f}")


def measure_rollback(camera: Camera, version: int) -> None:
    """Print how long a worse version stays in a canary."""
    order = {"endpoint": camera.endpoint, "challenger": str(version), "policy": CANARY, "reason": "measurement"}
    pk = camera.order("/api/monitoring/rollouts/", order)["id"]
    known: list[dict[str, str]] = []
    next_look = 0.0
    while True:
        _, prediction_id, label = camera.send()
        known.append({"prediction_id": prediction_id, "label": label})
        if len(known) >= 20:
            camera.order("/api/monitoring/feedback/", {"items": known})
            known = []
        time.sleep(0.02)
        if time.monotonic() < next_look:
            continue
        next_look = time.monotonic() + 0.5
        rollout = camera.client.get(f"/api/monitoring/rollouts/{pk}/").json()
        if rollout["state"] in ("rolled_back", "promoted", "superseded", "aborted"):
            break
    first = next(step for step in rollout["steps"] if step["kind"] == "canary")
    began, failed, ended = (
        datetime.fromisoformat(text) for text in (first["started_at"], rollout["failed_at"], rollout["ended_at"])
    )
    print(f"{rollout['state']}: {rollout['reason']}")
    print(f"from the first request to the challenger to the verdict {(failed - began).total_seconds():.1f} s")
    print(f"from the verdict to the traffic before, everywhere       {(ended - failed).total_seconds():.1f} s")


if __name__ == "__main__":
    main()
