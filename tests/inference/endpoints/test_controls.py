"""Orders beside traffic, and what a rollout's orders promise: repeatable, and never against a newer one."""

from __future__ import annotations

from typing import Any

import pytest

from aiplatform.contracts.inference import (
    FreezeEndpoint,
    SetShadow,
    SetTraffic,
    SwitchEndpoint,
    TrafficPurpose,
    TrafficShare,
)
from aiplatform.errors import ConflictError
from inference import controls, selectors, services
from tests.inference.endpoints.fakes import FakeRegistry

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def deployed(registry: FakeRegistry) -> None:
    services.deploy_version(endpoint="digits", model="digits", reference="1", actor="ann", registry=registry)


def traffic(registry: FakeRegistry, *pairs: tuple[int, int], **more: Any) -> Any:
    shares = tuple(TrafficShare(version=v, weight=w) for v, w in pairs)
    order = SetTraffic(endpoint="digits", traffic=shares, actor="rollout", reason="step", **more)
    return services.order_traffic(order, registry=registry)


def weights() -> dict[int, int]:
    return {share.version: share.weight for share in selectors.get_endpoint("digits").traffic}


def test_a_repeated_key_changes_nothing_and_names_the_first_generation(registry: FakeRegistry) -> None:
    first = traffic(registry, (1, 95), (2, 5), idempotency_key="r1-s1")
    services.deploy_version(endpoint="digits", model="digits", reference="3", actor="ann", registry=registry)
    again = traffic(registry, (1, 95), (2, 5), idempotency_key="r1-s1")
    assert (first.generation, again.generation, again.is_repeat) == (2, 2, True)
    assert again.endpoint.traffic_generation == 3
    assert weights() == {3: 100}


def test_an_order_that_counts_on_an_older_generation_is_refused(registry: FakeRegistry) -> None:
    services.deploy_version(endpoint="digits", model="digits", reference="3", actor="ann", registry=registry)
    with pytest.raises(ConflictError, match="moved on"):
        traffic(registry, (1, 95), (2, 5), expected_generation=1)
    assert weights() == {3: 100}


def test_switches_freezes_and_shadows_do_not_move_the_generation_of_traffic(registry: FakeRegistry) -> None:
    controls.set_shadow(SetShadow(endpoint="digits", version=2, actor="a", reason="r"), registry=registry)
    controls.freeze_endpoint(FreezeEndpoint(endpoint="digits", is_frozen=True, actor="a", reason="r"))
    controls.switch_endpoint(SwitchEndpoint(endpoint="digits", is_on=False, actor="a", reason="r"))
    info = selectors.get_endpoint("digits")
    assert (info.generation, info.traffic_generation, info.shadow) == (4, 1, 2)
    assert (info.is_frozen, info.is_off, info.off_reason) == (True, True, "r")


def test_a_frozen_endpoint_takes_no_split_and_no_version_but_the_way_back(registry: FakeRegistry) -> None:
    traffic(registry, (1, 75), (2, 25), purpose=TrafficPurpose.STEP)
    controls.freeze_endpoint(FreezeEndpoint(endpoint="digits", is_frozen=True, actor="a", reason="drift"))
    with pytest.raises(ConflictError, match=r"frozen \(drift\)"):
        traffic(registry, (1, 50), (2, 50))
    with pytest.raises(ConflictError, match="frozen"):
        services.deploy_version(endpoint="digits", model="digits", reference="3", actor="a", registry=registry)
    traffic(registry, (1, 100), purpose=TrafficPurpose.RESTORE)
    assert weights() == {1: 100}
    controls.freeze_endpoint(FreezeEndpoint(endpoint="digits", is_frozen=False, actor="a", reason=""))
    traffic(registry, (1, 50), (2, 50))


def test_a_rollback_passes_over_the_steps_of_a_rollout(registry: FakeRegistry) -> None:
    for weight in (1, 25, 50):
        traffic(registry, (1, 100 - weight), (2, weight), purpose=TrafficPurpose.STEP)
    controls.freeze_endpoint(FreezeEndpoint(endpoint="digits", is_frozen=True, actor="a", reason="r"))
    controls.freeze_endpoint(FreezeEndpoint(endpoint="digits", is_frozen=False, actor="a", reason="r"))
    traffic(registry, (2, 100), purpose=TrafficPurpose.PROMOTION)
    services.roll_back_endpoint(endpoint="digits", actor="a", reason="worse")
    assert weights() == {1: 100}


def test_after_a_rollouts_own_way_back_a_rollback_goes_further_back(registry: FakeRegistry) -> None:
    services.deploy_version(endpoint="digits", model="digits", reference="2", actor="a", registry=registry)
    traffic(registry, (2, 95), (3, 5), purpose=TrafficPurpose.STEP)
    traffic(registry, (2, 100), purpose=TrafficPurpose.RESTORE)
    services.roll_back_endpoint(endpoint="digits", actor="a", reason="worse")
    assert weights() == {1: 100}


def test_a_version_with_live_requests_is_no_shadow_and_a_shadow_that_gets_them_is_none_any_more(
    registry: FakeRegistry,
) -> None:
    with pytest.raises(ConflictError, match="cannot be a shadow"):
        controls.set_shadow(SetShadow(endpoint="digits", version=1, actor="a", reason="r"), registry=registry)
    controls.set_shadow(SetShadow(endpoint="digits", version=2, actor="a", reason="r"), registry=registry)
    assert [v.version for v in selectors.read_desired_state()["digits"].versions] == [1, 2]
    traffic(registry, (1, 95), (2, 5))
    assert selectors.get_endpoint("digits").shadow is None
