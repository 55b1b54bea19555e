"""The playground's views: what they show, ask and tell, and under whose name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from aiplatform.console.playground import summarise_answer
from aiplatform.console.samples import read_sample_row
from aiplatform.contracts.inference import Predictions
from aiplatform.identity import Scope
from tests.aiplatform.console.fake_world import World

pytestmark = pytest.mark.django_db


def post(client: Client, address: str, message: Any) -> Any:
    return client.post(address, json.dumps(message), content_type="application/json")


def description(page: str) -> Any:
    start = page.index('<script id="playground-description"')
    return json.loads(page[page.index(">", start) + 1 : page.index("</script>", start)])


def test_the_playground_is_for_staff(client: Client, fake_world: World) -> None:
    for response in (
        client.get("/playground/"),
        post(client, "/playground/predict", {}),
        post(client, "/playground/truth", {}),
    ):
        assert response.status_code == 302
        assert "/admin/login/" in response["Location"]


def test_an_endpoint_that_takes_images_comes_first(staff: Client, fake_world: World) -> None:
    told = description(staff.get("/playground/").content.decode())
    assert told["endpoint"] == "digits"
    assert told["image"] == {"height": 8, "width": 8, "channels": 1, "low": 0.0, "high": 255.0}
    assert told["labels"] == [str(digit) for digit in range(10)]


def test_the_chosen_endpoint_is_shown(staff: Client, fake_world: World) -> None:
    page = staff.get("/playground/?endpoint=credit").content.decode()
    assert description(page)["endpoint"] == "credit"
    assert 'id="row"' in page
    assert 'id="board"' not in page


def test_without_endpoints_the_page_says_what_to_type(staff: Client, fake_world: World) -> None:
    fake_world.endpoints = []
    page = staff.get("/playground/").content.decode()
    assert "No endpoint yet" in page
    assert "--deploy" in page


def test_with_the_serving_side_down_the_page_says_so(staff: Client, fake_world: World) -> None:
    fake_world.is_serving_down = True
    response = staff.get("/playground/")
    assert response.status_code == 200
    assert "inference cannot be reached" in response.content.decode()


def test_an_answer_has_probabilities_version_id_and_latency(staff: Client, fake_world: World) -> None:
    row = [[[0.0]] * 8] * 8
    answer = post(staff, "/playground/predict", {"endpoint": "digits", "row": row}).json()
    assert (answer["label"], answer["version"], answer["prediction_id"]) == ("7", 3, "prediction-1")
    assert answer["probabilities"][7] == {"label": "7", "probability": 0.9}
    assert answer["latency_ms"] > 0
    assert fake_world.questions[0].instances == (row,)


def test_one_score_and_two_labels_are_two_bars(staff: Client, fake_world: World) -> None:
    answer = post(staff, "/playground/predict", {"endpoint": "credit", "row": {"age": 30}}).json()
    assert answer["label"] == "good"
    assert [round(bar["probability"], 6) for bar in answer["probabilities"]] == [0.2, 0.8]


def test_a_regression_answers_its_number() -> None:
    answer = summarise_answer(Predictions(prediction_id="p", endpoint="e", version=1, rows=({"price": [12.5]},)))
    assert (answer["value"], answer["label"], answer["probabilities"]) == (12.5, None, [])


def test_a_prediction_is_made_in_the_name_of_the_person(staff: Client, client: Client, fake_world: World) -> None:
    client.force_login(get_user_model().objects.create_user("guest", is_staff=True))
    for someone in (staff, client):
        post(someone, "/playground/predict", {"endpoint": "digits", "row": []})
    assert [(caller.username, caller.scopes) for caller in fake_world.callers] == [
        ("ada", frozenset({Scope.ADMIN})),
        ("guest", frozenset({Scope.PREDICT, Scope.MONITOR})),
    ]


def test_errors_of_the_serving_side_keep_status_and_words(staff: Client, fake_world: World) -> None:
    response = post(staff, "/playground/predict", {"endpoint": "nothing", "row": []})
    assert response.status_code == 404
    assert response.json() == {"error": "there is no endpoint 'nothing'", "code": "not_found"}


@pytest.mark.parametrize("body", ["", "{", "[]", '{"endpoint": 3, "row": []}', '{"row": []}'])
def test_a_broken_question_is_refused(staff: Client, fake_world: World, body: str) -> None:
    response = staff.post("/playground/predict", body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["code"] == "invalid_input"


def test_a_verdict_becomes_feedback_with_its_source(staff: Client, fake_world: World) -> None:
    receipt = post(staff, "/playground/truth", {"prediction_id": "prediction-1", "label": "7"}).json()
    assert receipt == {"joined": 1, "repeated": 0, "pending": 0}
    [item] = fake_world.feedback
    assert (item.prediction_id, item.label, item.source) == ("prediction-1", "7", "playground:ada")


def test_changing_something_needs_the_csrf_token(admin_user: Any, fake_world: World) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert post(strict, "/playground/truth", {"prediction_id": "p", "label": "7"}).status_code == 403
    assert fake_world.feedback == []


def test_a_sample_row_comes_from_the_artifact(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    columns = {"age": np.array([[33.0], [40.0]], np.float32), "purpose": np.array([["radio/tv"], ["car"]])}
    np.savez(tmp_path / "warmup" / "inputs.npz", **columns)  # type: ignore[arg-type]
    assert read_sample_row(tmp_path.as_uri()) == {"age": 33.0, "purpose": "radio/tv"}
