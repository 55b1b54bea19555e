"""The road that every user takes, over real processes: once in one process tree, once split."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.topology import Platform, Server, wait_until

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(420), pytest.mark.xdist_group("e2e")]

MODEL = "digits"


def held_out_digits() -> tuple[list[Any], list[str]]:
    """Return scikit-learn's digits as the wire wants them, with their labels.

    Shapes: images (n, 8, 8, 1), 0..255.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16.0 * 255.0).astype(np.float32)[..., None]
    return images[-400:].tolist(), [str(label) for label in digits.target[-400:]]


@pytest.fixture(scope="module")
def trained(any_platform: Platform) -> Platform:
    """Give the platform with version 1 of `digits` trained, registered and served."""
    done = any_platform.run_manage(
        "train",
        "run",
        "keras_cnn",
        "--data",
        "digits",
        "--name",
        MODEL,
        "--set",
        "epochs=6",
        "--deploy",
        "--wait",
        "--json",
    )
    last = json.loads(done.stdout.strip().splitlines()[-1])
    assert last["state"] == "succeeded", last
    wait_until(
        lambda: any_platform.request("GET", f"/v2/models/{MODEL}/versions/1/ready").status_code == 200,
        within_s=90,
        what=lambda: "version 1 is served\n" + "\n".join(s.tail(15) for s in any_platform.servers.values()),
    )
    return any_platform


def predict(platform: Platform, instances: list[Any], **options: Any) -> Any:
    """Return the answer to a prediction over TF Serving's protocol."""
    return platform.request("POST", f"/v1/models/{MODEL}:predict", json={"instances": instances}, **options)


def test_a_prediction_needs_a_token_and_carries_an_id(trained: Platform) -> None:
    images, labels = held_out_digits()
    assert predict(trained, images[:1], token="").status_code == 401
    assert predict(trained, images[:1], token="nonsense").status_code == 401
    response = predict(trained, images[:8])
    assert response.status_code == 200, response.text
    probabilities = np.array(response.json()["predictions"])
    assert probabilities.shape == (8, 10)
    assert (probabilities.argmax(axis=1).astype(str) == labels[:8]).mean() >= 0.75
    assert response.headers["X-Prediction-Id"]
    assert response.headers["X-Model-Version"] == "1"


def test_the_request_id_of_the_caller_comes_back(trained: Platform) -> None:
    images, _ = held_out_digits()
    response = predict(trained, images[:1], headers={"X-Request-Id": "my-request-1"})
    assert response.headers["X-Request-Id"] == "my-request-1"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/nothing:predict", b'{"instances": [1]}', 404),
        (f"/v1/models/{MODEL}/versions/99:predict", b'{"instances": [1]}', 404),
        (f"/v1/models/{MODEL}:predict", b"{", 400),
        (f"/v1/models/{MODEL}:predict", b'{"instances": [[1, 2, 3]]}', 400),
        (f"/v2/models/{MODEL}/infer", b'{"inputs": []}', 400),
        (f"/v2/models/{MODEL}/infer", b"[" * 100_000, 400),
    ],
)
def test_bad_input_gets_its_status_and_a_reason(trained: Platform, path: str, body: bytes, status: int) -> None:
    response = trained.request("POST", path, content=body)
    assert response.status_code == status, response.text
    assert response.json()["error"]


def test_both_protocols_give_the_same_answer(trained: Platform) -> None:
    images, _ = held_out_digits()
    rows = predict(trained, images[:3]).json()["predictions"]
    flat = np.array(images[:3], dtype=np.float32)
    body = {"inputs": [{"name": "image", "shape": list(flat.shape), "datatype": "FP32", "data": flat.ravel().tolist()}]}
    answer = trained.post_json(f"/v2/models/{MODEL}/infer", body)
    output = answer["outputs"][0]
    assert output["name"] == "probabilities"
    np.testing.assert_allclose(np.array(output["data"]).reshape(output["shape"]), np.array(rows), rtol=1e-5, atol=1e-6)


def test_feedback_becomes_accuracy_and_the_lineage_leads_back_to_the_data(trained: Platform) -> None:
    images, labels = held_out_digits()
    ids = [predict(trained, [image]).headers["X-Prediction-Id"] for image in images[:120]]
    items = [{"prediction_id": key, "label": label} for key, label in zip(ids, labels[:120], strict=True)]
    trained.post_json("/api/monitoring/feedback/", {"items": items})

    def report() -> Any:
        found = trained.request(
            "GET", "/api/monitoring/reports/", params={"endpoint": MODEL, "version": 1, "period_s": 3600}
        )
        if found.status_code != 200:
            return None
        return found.json() if found.json()["accuracy"]["labelled"] >= 120 else None

    found = wait_until(report, within_s=30, what="the report shows 120 labelled predictions")
    assert found["accuracy"]["value"] > 0.8
    assert 0 < found["accuracy"]["coverage"] <= 1
    assert found["latency_ms"]["p50"] > 0
    lineage = trained.get_json(f"/api/monitoring/predictions/{ids[0]}/")
    text = json.dumps(lineage)
    assert "keras_cnn" in text
    assert MODEL in text
    assert "sha256:" in text


def test_drifted_images_fire_an_alert(trained: Platform) -> None:
    images, _ = held_out_digits()
    inverted = (255.0 - np.array(images[:300], dtype=np.float32)).tolist()
    rule = {
        "name": "digits have moved", "endpoint": MODEL, "metric": "drift_psi", "comparison": "gt", "threshold": 0.25,
        "window_s": 300, "for_s": 0, "keep_firing_for_s": 0, "severity": "warning", "minimum_samples": 50,
    }  # fmt: skip
    trained.post_json("/api/monitoring/rules/", rule)
    for first in range(0, 300, 10):
        assert predict(trained, inverted[first : first + 10]).status_code == 200

    def firing() -> Any:
        alerts = trained.get_json("/api/monitoring/alerts/?state=firing")["results"]
        return [alert for alert in alerts if alert["rule_name"] == "digits have moved"]

    alert = wait_until(firing, within_s=60, what="the drift alert fires")[0]
    assert alert["value"] > 0.25
    acknowledged = trained.post_json(f"/api/monitoring/alerts/{alert['id']}/acknowledge/", {"note": "seen"})
    assert acknowledged["acknowledged_by"] == trained.admin_user
    metrics = trained.request("GET", "/metrics") if trained.kind == "single" else None
    assert metrics is None or "aiplatform_alerts_firing" in metrics.text


def test_no_request_fails_while_a_version_changes_under_load(trained: Platform) -> None:
    images, _ = held_out_digits()
    trained.run_manage("train", "run", "keras_cnn", "--data", "digits", "--name", MODEL, "--set", "epochs=1", "--wait")
    statuses: list[int] = []
    versions: set[str] = set()
    is_over = threading.Event()

    def answers_with(version: str) -> bool:
        answered: str | None = predict(trained, images[:1]).headers.get("X-Model-Version")
        return answered == version

    def load() -> None:
        while not is_over.is_set():
            response = predict(trained, images[:2])
            statuses.append(response.status_code)
            versions.add(response.headers.get("X-Model-Version", ""))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for reference in ("2", "1", "2"):
            order = {"model": MODEL, "reference": reference, "reason": "change under load"}
            trained.post_json(f"/api/inference/endpoints/{MODEL}/deploy/", order)
            wait_until(
                partial(answers_with, reference),
                within_s=90,
                what=f"version {reference} answers",
            )
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
    assert versions == {"1", "2"}


def test_rolling_back_returns_to_the_version_before(trained: Platform) -> None:
    images, _ = held_out_digits()
    before = predict(trained, images[:1]).headers["X-Model-Version"]
    trained.post_json(f"/api/inference/endpoints/{MODEL}/rollback/", {"reason": "test"})
    wait_until(
        lambda: predict(trained, images[:1]).headers["X-Model-Version"] != before,
        within_s=60,
        what="the version before answers",
    )


def test_an_alert_rolls_the_endpoint_back_by_itself(trained: Platform) -> None:
    images, _ = held_out_digits()
    order = {"model": MODEL, "reference": "2", "reason": "a bad one"}
    trained.post_json(f"/api/inference/endpoints/{MODEL}/deploy/", order)
    wait_until(
        lambda: predict(trained, images[:1]).headers["X-Model-Version"] == "2", within_s=60, what="version 2 answers"
    )
    rule = {
        "name": "version 2 is bad", "endpoint": MODEL, "version_scope": "one", "version": 2,
        "metric": "prediction_count", "comparison": "gt",
        "threshold": 0, "window_s": 3600, "for_s": 0, "minimum_samples": 1, "severity": "critical",
        "action": "rollback",
    }  # fmt: skip
    made = trained.post_json("/api/monitoring/rules/", rule)
    wait_until(
        lambda: predict(trained, images[:1]).headers["X-Model-Version"] == "1", within_s=60, what="version 1 is back"
    )
    alert = trained.get_json(f"/api/monitoring/alerts/?rule={made['id']}")["results"][0]

    def is_on_record() -> bool:
        action = trained.get_json(f"/api/monitoring/alerts/{alert['id']}/")["action"]
        return bool(action and action["state"] == "succeeded")

    wait_until(is_on_record, within_s=30, what="the action is on record")
    history = trained.get_json(f"/api/inference/endpoints/{MODEL}/history/")["results"]
    assert history[0]["kind"] == "rollback"
    trained.request("PATCH", f"/api/monitoring/rules/{made['id']}/", json={"is_enabled": False})


def test_a_revoked_token_is_refused_within_five_seconds(trained: Platform) -> None:
    images, _ = held_out_digits()
    made = trained.run_manage_gateway(
        "tokens", "create", trained.admin_user, "--name", "short", "--scope", "predict", "--json"
    )
    token = json.loads(made.stdout.strip().splitlines()[-1])
    wait_until(
        lambda: predict(trained, images[:1], token=token["token"]).status_code == 200,
        within_s=10,
        what="the token works",
    )
    trained.run_manage_gateway("tokens", "revoke", str(token["id"]))
    revoked_s = time.monotonic()
    wait_until(
        lambda: predict(trained, images[:1], token=token["token"]).status_code == 401, within_s=10, what="it is refused"
    )
    assert time.monotonic() - revoked_s < 5


def test_a_clock_that_is_killed_while_predictions_come_in_loses_none(trained: Platform) -> None:
    images, _ = held_out_digits()
    server = trained.servers.get("inference") or trained.servers["all"]
    ids = []
    for number in range(60):
        ids.append(predict(trained, images[:1]).headers["X-Prediction-Id"])
        if number in (10, 40):
            os.kill(clock_pid(server), signal.SIGKILL)
        time.sleep(0.05)
    wait_until(
        lambda: all(trained.request("GET", f"/api/monitoring/predictions/{key}/").status_code == 200 for key in ids),
        within_s=60,
        what="all predictions are known",
    )


def clock_pid(server: Server) -> int:
    """Return the process id of a server's clock, once it runs."""
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")

    def find() -> int | None:
        pids = [int(pid) for pid in children.read_text().split()]
        return next((pid for pid in pids if b"clock" in Path(f"/proc/{pid}/cmdline").read_bytes()), None)

    return int(wait_until(find, within_s=20, what="the clock runs"))


def test_every_process_ends_within_ten_seconds_and_nothing_recorded_is_lost(trained: Platform) -> None:
    images, _ = held_out_digits()
    ids = [predict(trained, [image]).headers["X-Prediction-Id"] for image in images[:20]]
    took_s = trained.stop()
    assert max(took_s.values()) < 10, took_s
    trained.start()
    wait_until(
        lambda: all(trained.request("GET", f"/api/monitoring/predictions/{key}/").status_code == 200 for key in ids),
        within_s=60,
        what="all predictions made just before the stop are known",
    )
