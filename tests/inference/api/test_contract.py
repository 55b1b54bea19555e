"""The internal contract through its own client, in-process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aiplatform.contracts.inference import DeployVersion, PredictRows, RollBackEndpoint, TrafficShare
from aiplatform.errors import ConflictError, NotFoundError
from aiplatform.services import inference_client
from inference.models import EndpointRevision
from inference.routing_table import Route
from inference.serving import runtime
from tests.inference.endpoints.fakes import FakeRegistry, TimesLoader

pytestmark = pytest.mark.django_db


def test_a_version_is_deployed_looked_at_and_rolled_back(registry: FakeRegistry) -> None:
    client = inference_client()
    for reference in ("1", "latest"):
        info = client.deploy_version(
            DeployVersion(endpoint="digits", model="digits", reference=reference, actor="ann", reason="try")
        )
    assert info.traffic == (TrafficShare(version=3, weight=100),)
    assert client.get_endpoint("digits") == info
    assert client.list_endpoints().endpoints == (info,)
    order = RollBackEndpoint(endpoint="digits", actor="alert", reason="drift", idempotency_key="a1", from_version=3)
    back = client.roll_back_endpoint(order)
    assert back.traffic == (TrafficShare(version=1, weight=100),)
    assert client.roll_back_endpoint(order) == back


def test_errors_come_back_as_their_own_classes(registry: FakeRegistry) -> None:
    client = inference_client()
    with pytest.raises(NotFoundError):
        client.get_endpoint("nobody")
    client.deploy_version(DeployVersion(endpoint="digits", model="digits", reference="1"))
    with pytest.raises(ConflictError):
        client.roll_back_endpoint(RollBackEndpoint(endpoint="digits", actor="a", reason="r", idempotency_key="k"))


def test_an_order_without_an_actor_is_remembered_under_the_caller(registry: FakeRegistry) -> None:
    inference_client().deploy_version(DeployVersion(endpoint="digits", model="digits", reference="1"))
    assert EndpointRevision.objects.get().actor.startswith("service:")


@pytest.fixture
def serving(registry: FakeRegistry, tmp_path: Path) -> Iterator[None]:
    """Serve version 2 in this process."""
    folder = Path(registry.versions["digits", 2].artifact_uri.removeprefix("file://"))
    loaded = TimesLoader()(endpoint="digits", info=registry.versions["digits", 2], folder=folder)
    runtime().table.swap({"digits": Route(endpoint="digits", versions={2: loaded}, weights={2: 100})})
    yield
    runtime().table.swap({})
    loaded.close()


def test_rows_are_predicted_through_the_contract(serving: None) -> None:
    answer = inference_client().predict_rows(PredictRows(endpoint="digits", instances=([1.5], [2.0])))
    assert answer.version == 2
    assert answer.labels == ("no", "yes")
    assert np.array(answer.rows[0]["y"]).item() == 3.0 if isinstance(answer.rows[0], dict) else answer.rows[0]
    assert len(answer.prediction_id) == 32


def test_an_endpoint_that_is_not_served_here_is_not_found(registry: FakeRegistry) -> None:
    with pytest.raises(NotFoundError):
        inference_client().predict_rows(PredictRows(endpoint="nobody", instances=([1.0],)))
