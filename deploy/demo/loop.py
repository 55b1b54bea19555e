"""The loop: a bad challenger goes back at its gate; drift orders a retraining, whose result takes over."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.demo.pictures import Pictures, write_mislabelled
from deploy.demo.platform import DemoError, Platform, manage, poll
from deploy.demo.traffic import Camera

# As small as a demo may be, and deaf to latency: a new version runs on a slower engine until its faster one is
# compiled, for which the real policy waits. Yours is hours and thousands; see docs/rollouts.md.
POLICY = {
    "validation_margin": 0.1, "replay_requests": 60, "shadow_s": 3, "shadow_requests": 20, "steps": [25, 100],
    "step_s": 3, "min_samples": 40, "min_labels": 20, "engine_patience_s": 0, "max_latency_ratio": 1000,
    "latency_margin": 0.95,
}  # fmt: skip
OVER = ("promoted", "rolled_back", "aborted", "superseded")
console = Console(highlight=False, soft_wrap=True)


def show_bad_challenger(platform: Platform, model: str, pictures: Pictures, *, data: str, folder: Path) -> None:
    """Train on a file whose labels slipped by one, and let the gates find out."""
    say("Someone trains a challenger on a file whose labels slipped by one row of the table. Its own test likes it")
    path = write_mislabelled(data, folder / "mislabelled.npz")
    options = ["--data", str(path), "--name", model, "--set", f"epochs={5 if data == 'digits' else 1}"]
    manage("train", "run", "keras_cnn", *options, "--wait", capture=False)
    with Camera(platform, model, pictures, is_inverted=False):
        rollout = platform.post(
            "/api/monitoring/rollouts/", {"endpoint": model, "challenger": "latest", "reason": "looks good in its test"}
        ).json()
        ended = _follow(platform, rollout["id"], within_s=60)
    if ended["state"] != "rolled_back":
        raise DemoError(f"the bad challenger was not turned away: {ended['state']}, {ended['reason']}")


def show_retraining(platform: Platform, model: str, version: int, pictures: Pictures) -> Any:
    """Let pictures drift until the alert orders a retraining, and follow its result to the end."""
    rule = f"Demo: retrain {model} on drift"
    platform.ensure_rule(
        {
            "name": rule, "endpoint": model, "metric": "drift_psi", "comparison": "gt", "threshold": 0.25,
            "window_s": 120, "for_s": 0, "minimum_samples": 100, "severity": "critical", "action": "retrain",
            "action_cooldown_s": 600, "version_scope": "one", "version": version,
        }
    )  # fmt: skip
    say("Now the camera goes wrong: every picture is inverted. People label what they see, as they do in production")
    with Camera(platform, model, pictures, is_inverted=True) as camera:
        alert = poll(lambda: _firing(platform, model, version, rule), within_s=90, what="the drift alert fires")
        console.print(
            f"  [bold red]alert firing[/bold red]: {alert['metric']} is {float(alert['value']):.2f}, "
            f"the threshold {alert['threshold']}; version {version} is right on {_share(camera)} of these pictures"
        )
        say("The rule orders a retraining: same recipe, the old data and what people have labelled since")
        row = poll(lambda: _retrained(platform, model), within_s=180, what="the retraining ends")
        if row["state"] == "failed":
            raise DemoError(f"the retraining failed: {row['text']}")
        console.print(f"  {row['labelled']} labelled pictures; {row['text']}")
        ended = _follow(platform, row["rollout"], within_s=120)
    if ended["state"] != "promoted":
        raise DemoError(f"the retrained version did not take over: {ended['state']}, {ended['reason']}")
    return ended


def set_policy(platform: Platform, model: str) -> None:
    """Give the endpoint a policy of the demo's size."""
    platform.post("/api/monitoring/policies/", {"endpoint": model, "values": POLICY})


def say(text: str) -> None:
    """Begin a chapter."""
    console.print(f"[bold cyan]>[/bold cyan] {text}")


def store_everything() -> None:
    """Have serving keep each prediction whole, at once: the replay needs what was asked a moment ago."""
    os.environ.setdefault("STORE_SAMPLE_SHARE", "1")
    os.environ.setdefault("STORE_INTERVAL_S", "1")
    os.environ.setdefault("ROLLOUT_INTERVAL_S", "1")


def _follow(platform: Platform, pk: int, *, within_s: float) -> Any:
    told: set[str] = set()

    def look() -> Any:
        rollout = platform.get(f"/api/monitoring/rollouts/{pk}/")
        for step in rollout["steps"]:
            name = f"{step['kind']} {step['weight']}%" if step["weight"] else step["kind"]
            if step["ended_at"] and name not in told:
                told.add(name)
                tone = {"passed": "green", "failed": "red"}.get(step["state"], "yellow")
                console.print(f"  [{tone}]{step['state']:<8}[/{tone}] {name:<12} {step['text']}")
        return rollout if rollout["state"] in OVER else None

    ended = poll(look, within_s=within_s, what=f"rollout {pk} ends")
    is_promoted = ended["state"] == "promoted"
    tone, outcome = ("green", "promoted") if is_promoted else ("red", ended["state"].replace("_", " "))
    console.print(f"  [bold {tone}]{outcome}[/bold {tone}]: {ended['reason']}")
    if is_promoted:
        console.print(f"  version {ended['challenger']} now answers every request, also those with inverted pictures")
    return ended


def _firing(platform: Platform, model: str, version: int, rule: str) -> Any:
    path = f"/api/monitoring/alerts/?state=firing&endpoint={model}&version={version}"
    return next((alert for alert in platform.get(path)["results"] if alert["rule_name"] == rule), None)


def _retrained(platform: Platform, model: str) -> Any:
    rows = platform.get(f"/api/monitoring/retrainings/?endpoint={model}")["results"]
    return rows[0] if rows and rows[0]["state"] in ("done", "failed") else None


def _share(camera: Camera) -> str:
    return f"{camera.right / camera.sent:.0%}" if camera.sent else "none"
