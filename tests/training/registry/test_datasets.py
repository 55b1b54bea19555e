"""Registered data sets: versions by content, orders pinned to them, runs that say which they used, two compared."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from aiplatform.errors import InvalidInputError, NotFoundError
from aiplatform.http.authentication import IdentityUser
from aiplatform.identity import Identity, Scope
from training import dataset_registry
from training.data.reading import SourceReport
from training.data.registered import add_options, parse_reference
from training.data.sources import load_dataset
from training.dataset_models import DatasetVersion, RunData
from training.dataset_registry import compare_versions, find_sources, get_version, register_dataset
from training.leases import claim_run, write_data
from training.models import Run
from training.orders import training_order
from training.services import RunOrder, create_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folders(settings: Any, tmp_path: Path) -> None:
    settings.TRAINING_DIR = tmp_path / "runs"
    settings.DATA_CACHE_DIR = tmp_path / "cache"


def write_loans(path: Path, *, shift: float = 0.0, rows: int = 400, more: str = "") -> Path:
    random = np.random.default_rng(1)
    lines = ["age,job,risk" + (f",{more}" if more else "")]
    for row in range(rows):
        age = random.normal(40 + shift, 8)
        lines.append(f"{age:.1f},{('cook', 'clerk')[row % 2]},{('good', 'bad')[row % 3 % 2]}" + (",1" if more else ""))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def loans(tmp_path: Path) -> DatasetVersion:
    version, _ = register_dataset(
        name="loans", uri=str(write_loans(tmp_path / "loans.csv")), target="risk", actor="ann"
    )
    return version


def test_a_version_keeps_what_the_source_was(loans: DatasetVersion, tmp_path: Path) -> None:
    data = load_dataset(loans.source_uri, target="risk", seed=5, scratch=tmp_path)
    assert (str(loans), loans.rows, loans.kind, loans.fingerprint) == ("loans@1", 400, "table", data.fingerprint)
    assert [entry["name"] for entry in loans.schema["inputs"]] == ["age", "job"]
    assert sum(loans.schema["labels"].values()) == 400
    assert loans.profile["rows"] == 400
    assert set(loans.profile["outputs"]) == {"label"}
    assert 400 * 4 < loans.size_bytes < 400 * 40
    assert loans.report[0]["rows"] == {"training": 288, "validation": 32, "test": 80}


def test_the_same_content_is_the_same_version_and_another_the_next(loans: DatasetVersion, tmp_path: Path) -> None:
    again, is_new = register_dataset(name="loans", uri=loans.source_uri, target="risk")
    assert (again, is_new) == (loans, False)
    write_loans(tmp_path / "loans.csv", rows=300)
    other, is_new = register_dataset(name="loans", uri=loans.source_uri, target="risk")
    assert (str(other), is_new) == ("loans@2", True)
    assert get_version("loans", "1") == loans
    assert get_version("loans") == other


def test_an_order_by_name_is_pinned_and_takes_the_target(loans: DatasetVersion) -> None:
    run = create_run(RunOrder(recipe="keras_tabular", data_uri="dataset:loans?split=ordered", model_name="loans"))
    assert (run.data_uri, run.target) == ("dataset:loans@1?split=ordered", "risk")
    assert list(RunData.objects.get(run=run).versions.all()) == [loans]
    claim = claim_run(run.pk)
    assert claim is not None
    write_data(run.pk, claim.fence, [SourceReport(source="loans.csv").to_dict()])
    assert list(RunData.objects.get(run=run).versions.all()) == [loans], "what the run finds does not undo it"
    both = create_run(RunOrder(recipe="keras_tabular", data_uri="all:dataset:loans|b.csv", model_name="l", target="x"))
    assert (both.data_uri, both.target) == ("all:dataset:loans@1|b.csv", "x")


def test_an_attempt_gets_the_source_and_what_it_must_be(loans: DatasetVersion, tmp_path: Path) -> None:
    run = create_run(RunOrder(recipe="keras_tabular", data_uri="dataset:loans?split=ordered", model_name="loans"))
    order = training_order(Run.objects.get(pk=run.pk))
    assert order.data_uri == f"{loans.source_uri}?split=ordered"
    assert order.expected == {order.data_uri: loans.fingerprint}
    options: dict[str, Any] = {"target": order.target, "seed": 1, "scratch": tmp_path, "expected": order.expected}
    assert len(load_dataset(order.data_uri, **options).test) == 80
    write_loans(tmp_path / "loans.csv", rows=399)
    with pytest.raises(InvalidInputError, match="has changed since it was registered"):
        load_dataset(order.data_uri, **options)
    with pytest.raises(InvalidInputError, match="has changed since it was registered"):
        load_dataset(f"all:{order.data_uri}|{order.data_uri}", **options)


def test_two_versions_are_compared_with_monitorings_tests(loans: DatasetVersion, tmp_path: Path) -> None:
    path = write_loans(tmp_path / "older.csv", shift=20, more="income")
    other, _ = register_dataset(name="loans", uri=str(path), target="risk")
    found = compare_versions(loans, other)
    assert (found.added_inputs, found.removed_inputs, found.is_same_content) == (("income",), (), False)
    verdicts = {column["column"]: column["verdict"] for column in found.drift["features"]}
    assert verdicts == {"age": "drifted", "job": "ok"}
    same = compare_versions(loans, loans)
    assert same.is_same_content
    assert same.drift["verdict"] == "ok"


@pytest.mark.parametrize(
    ("name", "uri", "error", "message"),
    [
        ("no such name", "digits", InvalidInputError, "data set"),
        ("x", "all:digits|mnist", InvalidInputError, "from one source"),
        ("x", "dataset:loans", InvalidInputError, "from one source"),
        ("x", "/no/such/file.csv", InvalidInputError, "there is no data at"),
        ("x", "sql+postgresql://u:geheim@h/d?table=t", InvalidInputError, "password must not stand"),
    ],
)
def test_what_cannot_be_registered_says_why(name: str, uri: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        register_dataset(name=name, uri=uri)
    assert not DatasetVersion.objects.exists()


def test_an_unknown_data_set_is_refused_with_the_order() -> None:
    with pytest.raises(NotFoundError, match="there is no data set 'nothing'"):
        create_run(RunOrder(recipe="keras_tabular", data_uri="dataset:nothing", model_name="m", target="t"))
    with pytest.raises(InvalidInputError, match="dataset:NAME@VERSION"):
        find_sources("dataset:a@b@c", "")
    assert not Run.objects.exists()


def test_options_of_an_order_are_added_to_those_of_the_source() -> None:
    assert parse_reference("dataset:a@2?drop=x&split=ordered").options == "drop=x&split=ordered"
    assert add_options("a.csv?drop=id", "split=ordered") == "a.csv?drop=id&split=ordered"
    assert add_options("https://h/a.csv?k=1#sha256=0", "drop=x") == "https://h/a.csv?k=1#sha256=0&drop=x"


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("data", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_registers_lists_shows_and_compares(tmp_path: Path) -> None:
    path = write_loans(tmp_path / "loans.csv")
    assert "loans is loans@1 with 400 rows, sha256:" in command(
        "register", "loans", "--data", str(path), "--target", "risk"
    )
    assert "has not changed" in command("register", "loans", "--data", str(path), "--target", "risk")
    write_loans(path, shift=20)
    command("register", "loans", "--data", str(path), "--target", "risk", "--description", "of the bank")
    assert "loans\t2" in command("list")
    assert command("list", "loans").count(str(path)) == 2
    assert "input age  FP32 [-1, 1]" in command("show", "loans@1")
    said = command("diff", "loans@1")
    assert "loans@1 and loans@2: different content, 400 and 400 rows" in said
    assert "age\tdrifted" in said
    with pytest.raises(CommandError, match="has no version '9'"):
        command("show", "loans@9")


def test_programs_read_data_sets(loans: DatasetVersion) -> None:
    api, identity = APIClient(), Identity(username="ann", scopes=frozenset({Scope.TRAIN}))
    api.force_authenticate(user=IdentityUser(identity), token=identity)  # type: ignore[arg-type]
    assert api.get(reverse("dataset-list")).json()["results"][0]["name"] == "loans"
    listed = api.get(reverse("dataset-version-list", args=["loans"])).json()["results"]
    assert (listed[0]["version"], "profile" in listed[0]) == (1, False)
    shown = api.get(reverse("dataset-version-detail", args=["loans", "latest"])).json()
    assert shown["schema"]["inputs"][0]["name"] == "age"
    diff = api.get(reverse("dataset-diff", args=["loans"]) + "?before=1").json()
    assert diff["drift"]["verdict"] == "ok"
    assert api.get(reverse("dataset-diff", args=["loans"])).status_code == 400
    assert api.get(reverse("dataset-version-list", args=["nothing"])).status_code == 404


def test_a_page_shows_the_profile_and_compares(client: Client, loans: DatasetVersion, tmp_path: Path) -> None:
    client.force_login(get_user_model().objects.create_superuser("ann", password="secret"))
    other, _ = register_dataset(name="loans", uri=str(write_loans(tmp_path / "b.csv", shift=20)), target="risk")
    create_run(RunOrder(recipe="keras_tabular", data_uri="dataset:loans@2", model_name="m"))
    page = reverse("admin:training_datasetversion_change", args=[other.pk])
    text = client.get(page).content.decode()
    assert text.count("<console-chart") == 3, "the classes, age and job"
    assert "keras_tabular" in text
    assert "loans@1" in text
    compared = client.get(f"{page}?with=1").content.decode()
    assert "loans@1 beside loans@2" in compared
    assert "drifted" in compared
    assert "has no version" in client.get(f"{page}?with=7").content.decode()
    assert "loans@2" in client.get(reverse("admin:training_datasetversion_changelist")).content.decode()


def test_lists_leave_the_profiles_in_the_database(loans: DatasetVersion) -> None:
    version = dataset_registry.list_versions("loans").get()
    assert "profile" in version.get_deferred_fields()
