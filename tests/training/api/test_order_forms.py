"""Ordering in the console: a training, a search, a schedule. What is wrong is said at its field; nothing is ordered."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from training.models import Run, Search, TrainingSchedule
from training.states import RunState

from ..factories import make_run

pytestmark = pytest.mark.django_db

RUN = reverse("admin:training_run_add") + "?recipe=keras_cnn"
SEARCH = reverse("admin:training_search_add") + "?recipe=keras_cnn"
SCHEDULE = reverse("admin:training_trainingschedule_add")
ORDER = {"data_uri": "digits", "target": "", "model_name": "digits", "seed": "3"}
SEARCH_ORDER = {
    **ORDER, "trials": "4", "parallel": "2", "metric": "val_loss", "goal": "", "sampler": "tpe", "pruner": "none",
    "over_learning_rate": "log:1e-4..1e-1",
}  # fmt: skip


def errors_of(answer: Any) -> dict[str, str]:
    """Return the form's complaints by field, which stand on the page too."""
    assert answer.status_code == 200
    form = answer.context["form"]
    found = {name: " ".join(map(str, said)) for name, said in form.errors.items()}
    page = answer.content.decode()
    assert page.count('class="errorlist') >= len([name for name in found if name != "__all__"])
    return found


def may(client: Client, *codenames: str) -> None:
    """Log someone in who may only this."""
    user = get_user_model().objects.create_user("bob", password="secret", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    client.force_login(user)


def test_first_a_recipe_is_chosen_among_those_there_are(staff: Client) -> None:
    page = staff.get(reverse("admin:training_search_add")).content.decode()
    for words in ("keras_cnn", "keras_tabular", "forecaster", "package.module:Class"):
        assert words in page
    answer = staff.get(reverse("admin:training_search_add"), {"recipe": "nothing"}, follow=True)
    assert b"no recipe is named &#x27;nothing&#x27;" in answer.content
    assert b"Which recipe?" in answer.content


def test_the_form_shows_each_parameter_with_its_type_and_default(staff: Client) -> None:
    page = staff.get(RUN).content.decode()
    row = re.search(r'name="set_epochs".*?>', page)
    assert row is not None
    assert 'placeholder="8"' in row[0]
    assert "whole number from 1 to 10000" in page
    assert '<option value="" selected>default: cosine</option>' in page
    assert '<option value="" selected>default: true</option>' in page
    assert "over_epochs" not in page


def test_a_training_is_queued_as_filled_in(staff: Client) -> None:
    values = {
        **ORDER,
        "set_epochs": "2",
        "set_schedule": "linear",
        "set_deterministic": "false",
        "deploy_endpoint": "d",
    }
    answer = staff.post(RUN, values)
    run = Run.objects.get()
    assert answer["Location"] == reverse("admin:training_run_change", args=[run.pk])
    assert (run.recipe, run.model_name, run.seed, run.deploy_endpoint) == ("keras_cnn", "digits", 3, "d")
    assert (run.state, run.requested_by) == (RunState.QUEUED, "ann")
    chosen = {name: run.parameters[name] for name in ("epochs", "schedule", "deterministic", "learning_rate")}
    assert chosen == {"epochs": 2, "schedule": "linear", "deterministic": False, "learning_rate": 0.002}


def test_what_a_training_and_each_trial_ask_of_a_machine_is_ordered_too(staff: Client) -> None:
    asked = {"cores": "1", "memory": "512M", "gpus": "0", "priority": "7"}
    assert "training-asked" in staff.get(RUN).content.decode()
    staff.post(RUN, {**ORDER, **asked})
    run = Run.objects.get()
    assert (run.cores, run.memory_bytes, run.gpus, run.priority) == (1.0, 512 * 2**20, 0, 7)
    staff.post(SEARCH, {**SEARCH_ORDER, **asked})
    assert Search.objects.get().resources["memory_bytes"] == 512 * 2**20


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"data_uri": ""}, "data_uri", "required"),
        ({"data_uri": "sql+postgresql://a:b@host/d?table=t"}, "data_uri", "password"),
        ({"model_name": "No Name"}, "model_name", "not 'No Name'"),
        ({"seed": "-1"}, "seed", "greater than or equal to 0"),
        ({"set_epochs": "0"}, "set_epochs", "at least 1, not 0"),
        ({"set_epochs": "two"}, "set_epochs", "of type int, not 'two'"),
        ({"set_schedule": "up"}, "set_schedule", "valid choice"),
        ({"deploy_endpoint": "A B"}, "deploy_endpoint", "endpoint name"),
        ({"cores": "0"}, "cores", "greater than or equal to 0.01"),
        ({"memory": "much"}, "memory", "'much'"),
        ({"priority": "101"}, "priority", "less than or equal to 100"),
    ],
)
def test_what_is_wrong_with_a_training_is_said_at_its_field(
    staff: Client, change: dict[str, str], field: str, words: str
) -> None:
    found = errors_of(staff.post(RUN, {**ORDER, "deploy_endpoint": "", **change}))
    assert list(found) == [field]
    assert words in found[field]
    assert not Run.objects.exists()


def test_a_rule_of_the_recipes_own_is_said_on_top_and_what_was_filled_in_stays(staff: Client) -> None:
    answer = staff.post(RUN, {**ORDER, "set_augment": "sparkle=1", "set_epochs": "7"})
    page = answer.content.decode()
    assert "sparkle" in answer.context["error"]
    assert 'role="alert"' in page
    assert 'value="7"' in page
    assert not Run.objects.exists()


def test_a_search_is_begun_as_filled_in(staff: Client) -> None:
    more = {"over_batch_size": "16|32", "over_deterministic": ["true", "false"], "set_epochs": "4", "goal": "min"}
    answer = staff.post(SEARCH, {**SEARCH_ORDER, **more})
    search = Search.objects.get()
    assert answer["Location"] == reverse("admin:training_search_change", args=[search.pk])
    assert (search.trials_wanted, search.parallel, search.requested_by, search.seed) == (4, 2, "ann", 3)
    space = {part["name"]: part for part in search.space}
    assert (space["learning_rate"]["is_log"], space["batch_size"]["choices"]) == (True, [16, 32])
    assert space["deterministic"]["choices"] == [True, False]
    assert search.parameters["epochs"] == 4


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"over_learning_rate": "1..0.1"}, "over_learning_rate", "must grow"),
        ({"over_learning_rate": "100..200"}, "over_learning_rate", "at most 10"),
        ({"over_learning_rate": "0.1..0.5/3"}, "over_learning_rate", "sampler 'grid' only"),
        ({"sampler": "grid"}, "over_learning_rate", "needs a number of points"),
        ({"set_learning_rate": "0.1"}, "over_learning_rate", "set to 0.1"),
        ({"over_learning_rate": ""}, "__all__", "one parameter at least"),
        ({"trials": "0"}, "trials", "greater than or equal to 1"),
        ({"metric": "test accuracy"}, "metric", "Test rows must not choose"),
        ({"set_epochs": "0"}, "set_epochs", "at least 1"),
    ],
)
def test_what_is_wrong_with_a_search_is_said_at_its_field(
    staff: Client, change: dict[str, str], field: str, words: str
) -> None:
    found = errors_of(staff.post(SEARCH, {**SEARCH_ORDER, **change}))
    assert list(found) == [field]
    assert words in found[field]
    assert not Search.objects.exists()


def scheduled(run: Run, **change: Any) -> dict[str, Any]:
    order = {
        "name": "nightly", "like": str(run.pk), "data_uri": "", "deploy_endpoint": "", "when": "cron",
        "cron": "0 3 * * *", "watch_minutes": "10",
    }  # fmt: skip
    return {**order, **change}


def test_a_schedule_is_kept_as_filled_in_and_shows_its_next_five_times(staff: Client) -> None:
    run = make_run(state=RunState.SUCCEEDED)
    page = staff.get(SCHEDULE, {"like": str(run.pk)}).content.decode()
    assert f'value="{run.pk}" selected' in page
    assert page.count(" 03:00 UTC</li>") == 5
    answer = staff.post(SCHEDULE, scheduled(run, deploy_endpoint="digits"))
    schedule = TrainingSchedule.objects.get()
    assert (schedule.cron, schedule.watch_minutes, schedule.like) == ("0 3 * * *", 0, run)
    assert (schedule.deploy_endpoint, schedule.created_by) == ("digits", "ann")
    assert staff.get(answer["Location"]).content.decode().count(" 03:00 UTC") == 5


def test_a_schedule_may_wait_for_new_data_instead(staff: Client, tmp_path: Any) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    order = scheduled(make_run(state=RunState.SUCCEEDED), when="data", cron="no cron line", data_uri=str(tmp_path))
    assert staff.post(SCHEDULE, order).status_code == 302
    schedule = TrainingSchedule.objects.get()
    assert (schedule.cron, schedule.watch_minutes) == ("", 10)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": "No Name"}, "name", "not 'No Name'"),
        ({"name": "taken"}, "name", "'taken' already"),
        ({"like": "0" * 32}, "like", "valid choice"),
        ({"cron": "at three"}, "cron", "not 'at three'"),
        ({"cron": "0 3 31 2 *"}, "cron", "never does"),
        ({"cron": "", "watch_minutes": "x"}, "cron", "required"),
        ({"when": "data"}, "watch_minutes", "always the same data"),
        ({"when": "data", "watch_minutes": "20000"}, "watch_minutes", "less than or equal to 10080"),
        ({"deploy_endpoint": "A B"}, "deploy_endpoint", "endpoint name"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said_at_its_field(
    staff: Client, change: dict[str, str], field: str, words: str
) -> None:
    run = make_run(state=RunState.SUCCEEDED)
    TrainingSchedule.objects.create(name="taken", like=run, data_uri="digits", cron="0 1 * * *")
    found = errors_of(staff.post(SCHEDULE, scheduled(run, **change)))
    assert list(found) == [field]
    assert words in found[field]
    assert TrainingSchedule.objects.count() == 1


def test_the_times_of_a_line_are_told_while_it_is_written(staff: Client) -> None:
    url = reverse("admin:training_schedule_times")
    told = staff.get(url, {"cron": "15 6 * * mon"}).json()
    assert (len(told["times"]), told["error"]) == (5, "")
    assert all(time.startswith("Mon ") and time.endswith(" 06:15 UTC") for time in told["times"])
    assert staff.get(url, {"cron": "99 6 * * mon"}).json()["times"] == []


def test_without_a_run_the_form_of_a_schedule_says_what_to_do_first(staff: Client) -> None:
    make_run(state=RunState.FAILED)
    page = staff.get(SCHEDULE).content.decode()
    assert "nothing to repeat yet" in page
    assert reverse("admin:training_run_add") in page


@pytest.mark.parametrize(
    ("url", "right"), [(RUN, "add_run"), (SEARCH, "add_search"), (SCHEDULE, "add_trainingschedule")]
)
def test_only_who_may_add_one_may_order_it(client: Client, url: str, right: str) -> None:
    may(client, "view_run", "change_run", "view_search", "change_search", "view_trainingschedule")
    assert client.get(url).status_code == 403
    assert client.post(url, ORDER).status_code == 403
    user = get_user_model().objects.get(username="bob")
    user.user_permissions.add(Permission.objects.get(codename=right))
    assert client.get(url).status_code == 200


def test_the_lists_offer_a_new_one_to_those_who_may(staff: Client, client: Client) -> None:
    for name in ("run", "search", "trainingschedule"):
        page = staff.get(reverse(f"admin:training_{name}_changelist")).content.decode()
        assert reverse(f"admin:training_{name}_add") in page
    may(client, "view_search")
    page = client.get(reverse("admin:training_search_changelist")).content.decode()
    assert reverse("admin:training_search_add") not in page
