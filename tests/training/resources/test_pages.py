"""The ledger for people and programs: the console's page, the API, Prometheus."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from aiplatform.contracts.training import Holding, ReportHoldings
from aiplatform.machine import this_machine
from training import metrics
from training.models import ResourceHost, Run, RunUsage
from training.resources.granting import decide_queue
from training.resources.holdings import keep_holdings
from training.resources.ledger import read_ledger

from ..factories import make_run
from ..stand_in import RECIPE
from .machines import GIB, device
from .test_ledger import HERE, claim, queue, register

pytestmark = pytest.mark.django_db

ORDER = {"recipe": RECIPE, "data_uri": "digits", "model_name": "sleepy", "parameters": {"epochs": 1}}


@pytest.fixture
def busy() -> tuple[Run, Run]:
    """Return a run that holds three of four cores and a GPU, and one that waits for two; an endpoint serves beside."""
    register(gpus=(device(0),))
    holding, waiting = queue(cores=3.0, requested_by="ann"), queue(cores=2.0, requested_by="bob")
    claim(holding)
    RunUsage.objects.create(run=holding, memory_peak_bytes=2 * GIB, measured_at=timezone.now())
    keep_holdings(
        ReportHoldings(
            replica="r1", machine=this_machine(), host=HERE, expires_s=60,
            holdings=(Holding(endpoint="digits", model="digits", version=3, memory_bytes=GIB),),
        )
    )  # fmt: skip
    return holding, waiting


def test_the_page_shows_machines_holders_and_who_waits_why(staff: Client, busy: tuple[Run, Run]) -> None:
    holding, waiting = busy
    page = staff.get(reverse("admin:training_resourcehost_changelist")).content.decode()
    for words in (
        "Cores: 3 of 4 held", "Memory: 3.0 GiB of 8.0 GiB held", f"run {holding.short_id}",
        "endpoint &#x27;digits&#x27; version 3", waiting.short_id, f"run {holding.short_id} holds 3", "GPU 0 Toy",
    ):  # fmt: skip
        assert words in page, words
    assert f"run {holding.short_id} holds 3" in staff.get(reverse("admin:training_run_changelist")).content.decode()
    assert f"run {holding.short_id} holds 3" in staff.get(reverse("admin:index")).content.decode()
    run_page = staff.get(reverse("admin:training_run_change", args=[waiting.pk])).content.decode()
    assert f"waits for 2 of 4 cores: run {holding.short_id} holds 3" in run_page


def test_a_machines_row_leads_to_the_page_and_an_empty_ledger_says_what_to_do(staff: Client) -> None:
    page = staff.get(reverse("admin:training_resourcehost_changelist")).content.decode()
    assert "No training machine has been heard of lately" in page
    register()
    host = ResourceHost.objects.get()
    assert staff.get(reverse("admin:training_resourcehost_change", args=[host.pk])).status_code == 200


def test_the_page_is_for_those_who_may_see_machines(client: Client, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_user("eve", password="secret", is_staff=True))
    assert client.get(reverse("admin:training_resourcehost_changelist")).status_code == 403


def test_the_api_has_machines_holders_and_the_queue(train_api: APIClient, busy: tuple[Run, Run]) -> None:
    holding, waiting = busy
    answer = train_api.get("/api/training/resources/").json()
    host = answer["hosts"][0]
    assert (host["host"], host["cores_free"], host["memory_free_bytes"]) == ("here", 1.0, 5 * GIB)
    assert [(one["kind"], one["memory_bytes"]) for one in host["holders"]] == [("run", 2 * GIB), ("endpoint", GIB)]
    assert host["gpus"][0]["holders"] == [f"run {holding.short_id}"]
    assert [(one["short_id"], one["position"]) for one in answer["waiting"]] == [(waiting.short_id, 1)]
    assert [one["requester"] for one in answer["used"]] == ["ann"]


def test_a_run_in_the_api_says_why_it_waits_and_a_list_asks_the_queue_once(
    train_api: APIClient, busy: tuple[Run, Run], django_assert_max_num_queries: Any
) -> None:
    holding, waiting = busy
    answer = train_api.get(f"/api/training/runs/{waiting.pk}/").json()
    assert answer["waits"] == (
        f"waits for 2 of 4 cores: run {holding.short_id} holds 3, and for 1 of 1 GPU: "
        f"run {holding.short_id} holds GPU 0; first in the queue"
    )
    assert train_api.get(f"/api/training/runs/{holding.pk}/").json()["waits"] == ""
    for _ in range(20):
        queue(cores=2.0)
    with django_assert_max_num_queries(20):
        runs = train_api.get("/api/training/runs/?page_size=50").json()["results"]
    assert sum(bool(run["waits"]) for run in runs) == 21


def test_an_order_by_the_api_has_its_resources_and_a_clone_keeps_those_that_it_does_not_change(
    train_api: APIClient,
) -> None:
    register("here/1")
    order = {**ORDER, "cores": 0.5, "memory_bytes": GIB, "priority": 7}
    made = train_api.post("/api/training/runs/", order, format="json").json()
    assert (made["cores"], made["memory_bytes"], made["gpus"], made["priority"]) == (0.5, GIB, None, 7)
    clone = train_api.post(f"/api/training/runs/{made['id']}/clone/", {"memory_bytes": None}, format="json").json()
    assert (clone["cores"], clone["memory_bytes"], clone["priority"]) == (0.5, None, 7)


def test_an_order_by_the_api_for_more_than_there_is_is_answered_400(train_api: APIClient) -> None:
    answer = train_api.post("/api/training/runs/", {**ORDER, "cores": 5000}, format="json")
    assert answer.status_code == 400
    assert "it asks for 5000 cores, and the largest machine has" in str(answer.json())
    assert not Run.objects.exists()


def test_a_run_that_ran_out_of_its_memory_is_resumed_with_more(train_api: APIClient) -> None:
    register("here/1")
    run = make_run(state="failed", memory_bytes=GIB // 2, priority=3)
    url = f"/api/training/runs/{run.pk}/resume/"
    assert train_api.post(url, {"cores": 5000}, format="json").status_code == 400
    resumed = train_api.post(url, {"memory_bytes": GIB}, format="json").json()
    assert (resumed["state"], resumed["memory_bytes"], resumed["priority"]) == ("queued", GIB, 3)


def test_a_clone_in_the_console_shows_and_keeps_what_the_run_asked_for(staff: Client) -> None:
    run = make_run(cores=0.5, memory_bytes=GIB, priority=4)
    url = reverse("admin:training_run_clone", args=[run.pk])
    form = staff.get(url).context["form"]
    values = {name: "" if value is None else value for name, value in form.initial.items()}
    assert (values["cores"], values["memory"], values["priority"]) == (0.5, str(GIB), 4)
    assert staff.post(url, {**values, "memory": "huge"}).status_code == 200
    assert staff.post(url, {**values, "memory": "2G"}).status_code == 302
    clone = Run.objects.exclude(pk=run.pk).get()
    assert (clone.cores, clone.memory_bytes, clone.gpus, clone.priority) == (0.5, 2 * GIB, None, 4)


def test_prometheus_sees_what_is_free_and_who_waits(busy: tuple[Run, Run]) -> None:
    metrics.observe_resources(read_ledger().states(), ready=0, waiting=len(decide_queue()))
    value = REGISTRY.get_sample_value
    assert value("aiplatform_resource_cores_free", {"host": "here"}) == 1
    assert value("aiplatform_resource_memory_free_bytes", {"host": "here"}) == 5 * GIB
    assert value("aiplatform_resource_gpus_free", {"host": "here"}) == 0
    assert value("aiplatform_resource_waiting_runs", {"why": "no room"}) == 1
    ResourceHost.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    metrics.observe_resources(read_ledger().states(), ready=0, waiting=0)
    assert value("aiplatform_resource_cores", {"host": "here"}) == 0  # it fell silent
