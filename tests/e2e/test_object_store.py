"""The whole road with the artifacts in an object store: what one process uploads, the others fetch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.artifacts import verify_artifact
from tests.aiplatform.object_stores import BUCKET, running_gcs, running_s3
from tests.e2e.test_whole_road import held_out_digits
from tests.e2e.topology import Platform, single, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420), pytest.mark.xdist_group("e2e")]

MODEL = "digits"
STORES = {"s3": running_s3, "gs": running_gcs}


@pytest.fixture(scope="module", params=STORES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Give a platform on an object store that has trained `digits` and serves it."""
    with STORES[request.param]() as env:
        folder = tmp_path_factory.mktemp(request.param)
        platform = single(folder / "platform", ARTIFACT_STORE=f"{request.param}://{BUCKET}/models", **env)
        try:
            platform.start()
            train(platform)
            wait_until(lambda: answers_with(platform, "1"), within_s=90, what=platform.servers["all"].tail)
            yield platform
        finally:
            platform.stop()


def train(platform: Platform) -> Any:
    done = platform.run_manage(
        "train", "run", "keras_cnn", "--data", "digits", "--name", MODEL, "--set", "epochs=1", "--deploy", "--wait",
        "--json",
    )  # fmt: skip
    last = json.loads(done.stdout.strip().splitlines()[-1])
    assert last["state"] == "succeeded", last
    return last


def predict(platform: Platform, images: list[Any]) -> Any:
    return platform.request("POST", f"/v1/models/{MODEL}:predict", json={"instances": images})


def answers_with(platform: Platform, version: str) -> bool:
    images, _ = held_out_digits()
    return bool(predict(platform, images[:1]).headers.get("X-Model-Version") == version)


def test_a_model_from_the_store_answers_and_nothing_of_it_lies_in_a_local_store(served: Platform) -> None:
    images, _ = held_out_digits()
    response = predict(served, images[:8])
    assert response.status_code == 200, response.text
    assert np.array(response.json()["predictions"]).shape == (8, 10)
    assert not (served.folder / "data" / "artifacts").exists()
    assert list(Path.cwd().glob("s3:*")) + list(Path.cwd().glob("gs:*")) == []


def test_the_drift_baseline_comes_from_the_store(served: Platform) -> None:
    images, _ = held_out_digits()
    for first in range(0, 200, 20):
        assert predict(served, images[first : first + 20]).status_code == 200

    def report() -> Any:
        query = {"endpoint": MODEL, "version": 1, "period_s": 3600}
        found = served.request("GET", "/api/monitoring/reports/", params=query)
        return found.json() if found.status_code == 200 and found.json()["traffic"]["predictions"] >= 200 else None

    found = wait_until(report, within_s=60, what="the report holds 200 predictions")
    assert found["drift"]["has_baseline"], found["drift"]
    assert found["drift"]["verdict"] in ("ok", "drifted"), found["drift"]


def test_an_exported_version_is_whole(served: Platform, tmp_path: Path) -> None:
    target = tmp_path / "exported"
    served.run_manage("models", "export", MODEL, "1", "--to", str(target))
    assert verify_artifact(target).name == MODEL


def test_a_second_version_is_found_by_the_processes_that_know_the_first(served: Platform) -> None:
    train(served)
    wait_until(lambda: answers_with(served, "2"), within_s=90, what=served.servers["all"].tail)
