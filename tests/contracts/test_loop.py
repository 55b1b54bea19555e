"""What the loop from alert to action asks of inference, training and monitoring, over both transports."""

from __future__ import annotations

import pytest

from aiplatform.contracts.inference import (
    FreezeEndpoint,
    InferenceClient,
    OrderReplay,
    ReplayRequest,
    SetShadow,
    SetTraffic,
    SwitchEndpoint,
    TrafficShare,
)
from aiplatform.contracts.monitoring import MonitoringClient, RecordComparisons, ShadowComparison
from aiplatform.contracts.training import RetrainModel, SetAlias, TrainingClient
from aiplatform.errors import ConflictError, NotFoundError
from inference.models import Endpoint, EndpointRevision, VersionFacts
from tests.contracts.conftest import NewClient

COMPARISON = ShadowComparison(
    batch_id="c1", replica="r", endpoint="digits", champion=1, challenger=2, since_s=1.0, until_s=2.0, requests=3,
    errors=1, dropped=0, rows=2, labelled_rows=2, agreed_rows=1, valued_rows=0, difference_sum=0.0,
    champion_latencies=(1, 2), challenger_latencies=(0, 3), last_error="boom",
)  # fmt: skip


@pytest.fixture
def inference(new_client: NewClient) -> InferenceClient:
    Endpoint.objects.create(
        name="digits", model="digits", generation=1, traffic_generation=1, traffic=[{"version": 1, "weight": 100}]
    )
    EndpointRevision.objects.create(
        endpoint="digits", generation=1, kind="deploy", model="digits", traffic=[{"version": 1, "weight": 100}]
    )
    info = {
        "model": "digits", "artifact_uri": "file:///x", "artifact_digest": "d", "framework": "f", "task": "t",
        "run_id": "", "created_at": "",
    }  # fmt: skip
    for version in (1, 2):
        VersionFacts.objects.create(model="digits", version=version, info={**info, "version": version})
    return InferenceClient(new_client(service="inference"))


def traffic(*pairs: tuple[int, int], key: str, expected: int | None = None) -> SetTraffic:
    shares = tuple(TrafficShare(version=version, weight=weight) for version, weight in pairs)
    return SetTraffic(
        endpoint="digits", traffic=shares, actor="rollout", reason="step", idempotency_key=key,
        expected_generation=expected,
    )  # fmt: skip


def test_traffic_is_set_once_under_a_key_and_never_against_a_newer_order(inference: InferenceClient) -> None:
    first = inference.set_traffic(traffic((1, 95), (2, 5), key="k1", expected=1))
    again = inference.set_traffic(traffic((1, 95), (2, 5), key="k1", expected=1))
    assert (first.generation, again.generation, first.is_repeat, again.is_repeat) == (2, 2, False, True)
    assert again.endpoint.traffic_key == "k1"
    with pytest.raises(ConflictError) as late:
        inference.set_traffic(traffic((1, 50), (2, 50), key="k2", expected=1))
    assert late.value.details == {"traffic_generation": 2}


def test_shadow_switch_and_freeze_are_seen_at_the_endpoint_and_in_its_history(inference: InferenceClient) -> None:
    inference.set_shadow(SetShadow(endpoint="digits", version=2, actor="a", reason="try"))
    inference.switch(SwitchEndpoint(endpoint="digits", is_on=False, actor="a", reason="wrong", idempotency_key="s"))
    inference.freeze(FreezeEndpoint(endpoint="digits", is_frozen=True, actor="a", reason="drift", idempotency_key="f"))
    info = inference.get_endpoint("digits")
    assert (info.shadow, info.is_off, info.off_reason, info.is_frozen) == (2, True, "wrong", True)
    with pytest.raises(ConflictError) as frozen:
        inference.set_traffic(traffic((1, 50), (2, 50), key="k"))
    assert frozen.value.details == {"is_frozen": True}
    kinds = [change.kind for change in inference.get_history("digits").changes]
    assert kinds == ["freeze", "switch_off", "shadow", "deploy"]


def test_a_replay_is_ordered_once_and_reported(inference: InferenceClient) -> None:
    request = ReplayRequest(prediction_id="p/0", instances=([1.0, float("nan")],))
    order = OrderReplay(key="rollout-1-replay", endpoint="digits", versions=(1, 2), requests=(request,))
    assert inference.order_replay(order).state == inference.order_replay(order).state == "queued"
    assert inference.get_replay("rollout-1-replay").results == ()
    with pytest.raises(NotFoundError):
        inference.get_replay("another")


def test_training_says_not_found_for_orders_to_what_it_does_not_have(new_client: NewClient) -> None:
    training = TrainingClient(new_client(service="training"))
    with pytest.raises(NotFoundError):
        training.retrain(RetrainModel(model="nobody", version=1, idempotency_key="k", actor="a"))
    with pytest.raises(NotFoundError):
        training.set_alias(SetAlias(model="nobody", alias="champion", version=1, actor="a"))
    with pytest.raises(NotFoundError):
        training.get_run("00000000")
    assert training.list_runs("nobody").runs == ()


def test_a_comparison_that_arrives_twice_counts_once(new_client: NewClient) -> None:
    monitoring = MonitoringClient(new_client(service="monitoring"))
    order = RecordComparisons(comparisons=(COMPARISON,))
    assert monitoring.record_comparisons(order).accepted == 1
    assert monitoring.record_comparisons(order).duplicates == 1
