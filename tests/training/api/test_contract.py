"""What training answers the other apps through its contract's client."""

from __future__ import annotations

import pytest

from aiplatform.errors import NotFoundError
from aiplatform.services import training_client
from training import registry

from ..factories import make_version

pytestmark = pytest.mark.django_db


def test_a_version_is_told_by_number_alias_and_latest() -> None:
    first, _ = make_version(), make_version()
    registry.set_alias(model_name="mnist", alias="champion", reference="1")
    client = training_client()
    found = client.get_model_version("mnist", "champion")
    assert (found.version, found.aliases, found.run_id) == (1, ("champion",), str(first.run_id))
    assert (found.artifact_digest, found.labels, dict(found.metrics)) == ("sha256:1", ("0", "1"), {"accuracy": 0.9})
    assert client.get_model_version("mnist", "latest").version == 2
    assert client.get_model_version("mnist", "1") == found


def test_a_version_that_no_run_made_has_an_empty_run() -> None:
    make_version(run=None)
    assert training_client().get_model_version("mnist", "latest").run_id == ""


def test_all_versions_come_newest_first() -> None:
    make_version()
    make_version()
    make_version(is_ready=False)
    assert [v.version for v in training_client().list_model_versions("mnist").versions] == [2, 1]


def test_lineage_is_told() -> None:
    make_version()
    lineage = training_client().get_lineage("mnist", 1)
    assert (lineage.code_commit, lineage.seed, dict(lineage.packages)) == ("abc", 4, {"numpy": "2"})


def test_what_is_not_there_is_a_not_found_error() -> None:
    make_version()
    client = training_client()
    for model, reference in (("nope", "1"), ("mnist", "9"), ("mnist", "champion"), ("a/b", "latest")):
        with pytest.raises(NotFoundError):
            client.get_model_version(model, reference)
    with pytest.raises(NotFoundError):
        client.list_model_versions("nope")
