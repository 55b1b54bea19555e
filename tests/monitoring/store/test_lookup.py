"""One prediction id leads to everything: inputs, outputs, truth, trace and lineage, in one page and one call."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from PIL import Image

from aiplatform.errors import NotFoundError
from aiplatform.identity import Scope
from monitoring.admin.stored_view import png_uri
from monitoring.lineage import trace_prediction, trace_to_dict
from monitoring.models import PredictionBlock
from monitoring.store.lookup import find_stored_rows
from monitoring.store.maintenance import tidy_store
from tests.monitoring.api.test_public_api import Caller
from tests.monitoring.store.stored import NOW, POLICY, a_prediction, an_image, index, label, store

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WATCHER = Caller(Scope.MONITOR)


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada", "ada@example.org", "a-long-password"))
    return client


def test_one_call_answers_index_and_what_was_kept() -> None:
    event = a_prediction(traceparent=TRACE)
    store(event)
    index(event)
    label(event, "bad")
    answer = WATCHER.get(f"/api/monitoring/predictions/{event.prediction_id}/").json()
    assert answer["rows"][0]["feedback"]["label"] == "bad"
    (row,) = answer["stored"]
    assert row["inputs"]["age"] == {"shape": [1], "data": [30.0], "is_cut": False}
    assert row["inputs"]["job"]["data"] == ["clerk"] and row["outputs"]["probabilities"]["data"] == [0.25, 0.75]
    assert (row["trace_id"], row["latency_ms"], row["http_status"], row["label"]) == (TRACE[3:35], 2.5, 200, "bad")


def test_a_prediction_that_was_not_sampled_is_found_in_the_index_alone() -> None:
    event = a_prediction()
    index(event)
    trace = trace_prediction(event.prediction_id)
    assert len(trace.rows) == 1 and trace.stored == [] and trace.stored_error == ""


def test_a_prediction_that_the_index_has_forgotten_is_found_in_the_store_alone() -> None:
    event = a_prediction()
    store(event)
    index(event)
    PredictionBlock.objects.all().delete()
    trace = trace_to_dict(trace_prediction(event.prediction_id))
    assert trace["endpoint"] == "credit" and trace["rows"] == [] and len(trace["stored"]) == 1  # type: ignore[arg-type]


def test_a_prediction_that_is_nowhere_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        trace_prediction(a_prediction().prediction_id)
    with pytest.raises(NotFoundError):
        trace_prediction("nobody")


def test_all_rows_of_a_request_are_found_in_order_also_after_compaction() -> None:
    three = {"age": np.array([[1.0], [2.0], [3.0]], np.float32), "job": np.array([["a"], ["b"], ["c"]], object)}
    event = a_prediction(inputs=three, outputs={"probabilities": np.eye(3, 2, dtype=np.float32)})
    store(event)
    store(a_prediction())
    for _ in range(2):
        rows = find_stored_rows(event.prediction_id)
        assert [(row.row, row.inputs["age"].tolist()) for row in rows] == [(0, [1.0]), (1, [2.0]), (2, [3.0])]
        tidy_store(now=NOW.replace(day=25))


def test_a_store_that_cannot_be_read_leaves_the_index_s_part_and_says_so(settings: Any, tmp_path: Any) -> None:
    event = a_prediction()
    index(event)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    settings.ARTIFACT_STORE = f"file://{blocked}"
    trace = trace_prediction(event.prediction_id)
    assert len(trace.rows) == 1 and "could not list" in trace.stored_error


def test_the_page_draws_the_image_and_shows_scores_and_truth(staff: Client) -> None:
    event = an_image(value=200.0, traceparent=TRACE)
    store(event)
    index(event)
    label(event, "7")
    page = staff.get(f"/admin/monitoring/prediction/{event.prediction_id}/change/").content.decode()
    assert "data:image/png;base64," in page and TRACE[3:35] in page and "2.5 ms" in page


def test_the_page_says_what_is_a_pseudonym_and_what_was_not_kept(staff: Client) -> None:
    hashed, unsampled = a_prediction(), a_prediction()
    store(hashed, policy=dataclasses.replace(POLICY, hashed_features=("job",)))
    index(hashed, unsampled)
    page = staff.get(f"/admin/monitoring/prediction/{hashed.prediction_id}/change/").content.decode()
    assert "kept as a pseudonym" in page and "clerk" not in page
    page = staff.get(f"/admin/monitoring/prediction/{unsampled.prediction_id}/change/").content.decode()
    assert "it was not sampled" in page


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("white", [1.0, 255.0])
def test_a_drawn_image_holds_the_pixels_it_was_made_of(shape: tuple[int, ...], white: float) -> None:
    pixels = np.linspace(0, white, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    uri = png_uri(pixels)
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert np.array_equal(drawn, (pixels * (255 / white)).astype(np.uint8).reshape(drawn.shape))
