"""Notes, tags, clones, and runs side by side."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from aiplatform.errors import InvalidConfigurationError, InvalidInputError, NotFoundError
from training import annotating, comparison
from training.annotating import RunChanges
from training.models import EpochMetrics, Run, RunEvaluation
from training.states import RunState

from ..factories import make_run, make_version

pytestmark = pytest.mark.django_db


def _pair() -> tuple[Run, Run]:
    first = make_run(parameters={"epochs": 3, "fault": ""})
    second = make_run(parameters={"epochs": 5, "fault": ""}, seed=2)
    make_version(run=first, metrics={"accuracy": 0.9, "loss": 0.4})
    make_version(run=second, metrics={"accuracy": 0.8, "loss": 0.3})
    for run, last in ((first, 3), (second, 5)):
        EpochMetrics.objects.bulk_create(
            EpochMetrics(run=run, epoch=epoch, values={"val_loss": 1 / epoch}) for epoch in range(1, last + 1)
        )
        RunEvaluation.objects.create(run=run, labels=["cat", "dog"], confusion_matrix=[[8, 2], [1, last]])
    return first, second


def test_only_what_differs_is_shown_and_the_best_is_marked() -> None:
    first, second = _pair()
    found = comparison.compare_runs([first.short_id, second.pk])
    assert {row.name: row.values for row in found.parameters} == {"seed": (0, 2), "epochs": (3, 5)}
    assert {row.name: row.best for row in found.metrics} == {
        "test accuracy": (0,), "test loss": (1,), "val_loss": (1,), "seconds": (),
    }  # fmt: skip
    assert found.curves["val_loss"][first.short_id] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert [confusion.matrix[1] for confusion in found.confusions] == [(1, 3), (1, 5)]


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    run, other = make_run(), make_run()
    EpochMetrics.objects.bulk_create(EpochMetrics(run=run, epoch=e, values={"loss": e}) for e in range(1, 1002))
    EpochMetrics.objects.create(run=other, epoch=1, values={"loss": 1.0})
    curves = comparison.epoch_curves([run, other])
    points = curves[run.pk]["loss"]
    assert 150 < len(points) <= comparison.CURVE_POINTS + 1
    assert [points[-1]] == [(1001, 1001)]
    assert curves[other.pk]["loss"] == [(1, 1.0)]


def test_one_run_the_same_twice_and_an_unknown_one_cannot_be_compared() -> None:
    run = make_run()
    with pytest.raises(InvalidInputError, match="2 to 8 runs can be compared, not 1"):
        comparison.compare_runs([run.pk])
    with pytest.raises(InvalidInputError, match="given twice"):
        comparison.compare_runs([run.pk, run.short_id])
    with pytest.raises(NotFoundError):
        comparison.compare_runs([run.pk, "0000"])


@pytest.mark.parametrize(
    ("metric", "is_less"), [("val_loss", True), ("accuracy", False), ("roc_auc", False), ("test rmse", True)]
)
def test_of_losses_and_errors_the_least_is_the_best(metric: str, is_less: bool) -> None:
    assert comparison.is_less_better(metric) is is_less


def test_notes_and_tags_are_set_changed_and_refused() -> None:
    run = annotating.annotate_run(make_run(), notes="kept", tags=["b", "a", "a"])
    assert (run.notes, run.tag_names) == ("kept", ["a", "b"])
    run = annotating.change_tags(run, add=["team:vision"], remove=["a"])
    assert run.tag_names == ["b", "team:vision"]
    with pytest.raises(InvalidInputError, match="no tag 'x'; it has: b, team:vision"):
        annotating.change_tags(run, remove=["x"])
    for tags, words in ((["a b"], "not 'a b'"), ([f"t{i}" for i in range(21)], "at most 20 tags, not 21")):
        with pytest.raises(InvalidInputError, match=words):
            annotating.annotate_run(run, tags=tags)
    assert run.tag_names == ["b", "team:vision"]


def test_a_clone_differs_by_its_changes_only() -> None:
    run = make_run(parameters={"epochs": 3, "step_s": 0.5}, seed=4, deploy_endpoint="mnist")
    made = annotating.clone_run(run, RunChanges(parameters={"epochs": "9"}, seed=5), actor="ann")
    assert made.pk != run.pk
    assert (made.parameters["epochs"], made.parameters["step_s"], made.seed) == (9, 0.5, 5)
    assert (made.data_uri, made.model_name, made.state) == (run.data_uri, run.model_name, RunState.QUEUED)
    assert (made.deploy_endpoint, made.reason) == ("", f"clone of run {run.short_id}")
    with pytest.raises(InvalidConfigurationError, match="no parameter 'epoch'"):
        annotating.clone_run(run, RunChanges(parameters={"epoch": 1}))


def _command(*arguments: str) -> str:
    out = io.StringIO()
    call_command("train", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_compares_tags_notes_and_clones() -> None:
    first, second = _pair()
    text = _command("compare", first.short_id, second.short_id)
    assert "test accuracy\t0.9*\t0.8" in text
    assert "epochs\t3\t5" in text
    record = json.loads(_command("compare", first.short_id, second.short_id, "--json"))
    assert record["confusion_matrices"][first.short_id]["counts"] == [[8, 2], [1, 3]]
    _command("tag", first.short_id, "good", "try-1")
    _command("note", first.short_id, "the one to keep")
    assert first.short_id in _command("list", "--tag", "good")
    assert second.short_id not in _command("list", "--tag", "good")
    assert "the one to keep" in _command("show", first.short_id)
    assert "is queued" in _command("clone", first.short_id, "--set", "epochs=7", "--detach")
    assert Run.objects.filter(reason=f"clone of run {first.short_id}").get().parameters["epochs"] == 7
    with pytest.raises(CommandError, match="not 1"):
        _command("compare", first.short_id)


def test_the_api_compares_annotates_filters_and_clones(train_api: APIClient) -> None:
    first, second = _pair()
    answer = train_api.get("/api/training/runs/compare/", {"runs": f"{first.pk},{second.short_id}"}).json()
    assert answer["metrics"]["test loss"] == {"values": [0.4, 0.3], "best": [1]}
    assert train_api.get("/api/training/runs/compare/").status_code == 400
    url = f"/api/training/runs/{first.pk}/"
    assert train_api.patch(url, {"tags": ["x"], "notes": "n"}, format="json").json()["tags"] == ["x"]
    assert train_api.patch(url, {"tags": ["not so"]}, format="json").status_code == 400
    assert [r["id"] for r in train_api.get("/api/training/runs/", {"tag": "x"}).json()["results"]] == [str(first.pk)]
    made = train_api.post(f"{url}clone/", {"parameters": {"epochs": 2}}, format="json")
    assert made.status_code == 201
    assert made.json()["parameters"]["epochs"] == 2


def test_the_list_leads_to_the_comparison_page(staff: Client) -> None:
    first, second = _pair()
    answer = staff.post(
        reverse("admin:training_run_changelist"),
        {"action": "compare_chosen", "_selected_action": [str(first.pk), str(second.pk)]},
    )
    assert answer.status_code == 302
    page = staff.get(answer["Location"]).content.decode()
    for words in ("2 runs side by side", "training-matrix", "training-best", "<console-chart", first.short_id):
        assert words in page
    answer = staff.get(reverse("admin:training_run_compare"), {"runs": first.short_id}, follow=True)
    assert "not 1" in answer.content.decode()


def test_the_page_edits_notes_and_clones(staff: Client) -> None:
    run = make_run(parameters={"epochs": 3, "step_s": 0.0})
    url = reverse("admin:training_run_annotate", args=[run.pk])
    assert b"not &#x27;!&#x27;" in staff.post(url, {"notes": "", "tags": "!"}).content
    staff.post(url, {"notes": "good\n<b>", "tags": "a, b"})
    page = staff.get(reverse("admin:training_run_change", args=[run.pk])).content.decode()
    assert "&lt;b&gt;" in page
    assert ">a</a>" in page
    assert run.short_id in staff.get(reverse("admin:training_run_changelist"), {"tag": "a"}).content.decode()
    clone = reverse("admin:training_run_clone", args=[run.pk])
    form: dict[str, Any] = {"data_uri": "digits", "model_name": "other", "seed": 1}
    assert b"a line reads key=value" in staff.post(clone, {**form, "parameters": "epochs 4"}).content
    assert b"no parameter" in staff.post(clone, {**form, "parameters": "epoch=4"}).content
    staff.post(clone, {**form, "parameters": "epochs=4\n"})
    assert Run.objects.get(model_name="other").parameters["epochs"] == 4
