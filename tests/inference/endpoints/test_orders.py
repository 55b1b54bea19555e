"""Orders to endpoints, and the history they leave."""

from __future__ import annotations

from typing import Any

import pytest

from aiplatform.artifacts import ImageInput
from aiplatform.contracts.inference import EndpointInfo, TrafficShare
from aiplatform.errors import (
    ArtifactCorruptError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OpenTransactionError,
    UnavailableError,
)
from inference import selectors, services
from inference.models import Endpoint, EndpointRevision
from inference.traffic import check_traffic, describe_traffic, parse_traffic
from tests.inference.endpoints.fakes import FakeRegistry

pytestmark = pytest.mark.django_db


def deploy(registry: FakeRegistry, reference: str = "1", **more: Any) -> EndpointInfo:
    order = {"endpoint": "digits", "model": "digits", "reference": reference, "actor": "ann", **more}
    return services.deploy_version(registry=registry, **order)


def roll_back(key: str = "", **more: Any) -> EndpointInfo:
    order = {"endpoint": "digits", "actor": "bob", "reason": "worse", "idempotency_key": key, **more}
    return services.roll_back_endpoint(**order)


def shares(*pairs: tuple[int, int]) -> tuple[TrafficShare, ...]:
    return tuple(TrafficShare(version=version, weight=weight) for version, weight in pairs)


def test_a_first_deployment_makes_the_endpoint_with_labels_and_image(registry: FakeRegistry) -> None:
    info = deploy(registry, "latest", reason="first")
    assert (info.generation, info.traffic, info.is_ready) == (1, shares((3, 100)), False)
    assert info.labels == ("no", "yes")
    assert info.image == ImageInput(height=8, width=8, channels=1)


def test_each_order_leaves_who_when_what_and_why(registry: FakeRegistry) -> None:
    deploy(registry, "1", reason="first")
    split = shares((1, 90), (2, 10))
    services.set_traffic(endpoint="digits", traffic=split, actor="cy", reason="try 2", registry=registry)
    roll_back()
    history = [(r.generation, r.kind, r.actor, r.reason) for r in selectors.list_revisions("digits")]
    assert history == [(3, "rollback", "bob", "worse"), (2, "traffic", "cy", "try 2"), (1, "deploy", "ann", "first")]


def test_an_alias_is_resolved_once_to_a_number(registry: FakeRegistry) -> None:
    registry.aliases["digits", "champion"] = 2
    assert deploy(registry, "champion").traffic == shares((2, 100))


@pytest.mark.parametrize(
    ("pairs", "rule"),
    [
        ([(1, 50), (2, 40)], "add up to 100, not 90"),
        ([(1, 50), (1, 50)], "each version once"),
        ([(1, 110), (2, -10)], "0 to 100 percent"),
        ([(0, 100)], "a version from 1"),
        ([], "1 to 8 versions, not 0"),
    ],
)
def test_a_split_that_breaks_a_rule_is_refused_by_its_name(pairs: list[tuple[int, int]], rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        check_traffic(shares(*pairs))


def test_a_split_is_written_in_words_and_read_again() -> None:
    traffic = parse_traffic(["4=10", "3=90"])
    assert describe_traffic(traffic) == "version 3: 90%, version 4: 10%"
    with pytest.raises(InvalidInputError, match="VERSION=PERCENT"):
        parse_traffic(["3:90"])


def test_an_unknown_version_or_endpoint_is_not_found_and_changes_nothing(registry: FakeRegistry) -> None:
    with pytest.raises(NotFoundError):
        deploy(registry, "9")
    with pytest.raises(NotFoundError):
        services.set_traffic(endpoint="nobody", traffic=shares((1, 100)), actor="a", registry=registry)
    assert not Endpoint.objects.exists()
    deploy(registry, "1")
    with pytest.raises(NotFoundError):
        services.set_traffic(endpoint="digits", traffic=shares((1, 50), (9, 50)), actor="a", registry=registry)
    assert selectors.get_endpoint("digits").generation == 1


@pytest.mark.parametrize("name", ["", "Upper", "-x", "a/b", "a" * 64])
def test_a_name_that_cannot_be_an_endpoint_is_refused(registry: FakeRegistry, name: str) -> None:
    with pytest.raises(InvalidInputError, match="must match"):
        deploy(registry, endpoint=name)


@pytest.mark.parametrize("name", ["stats", "ready", "infer", "versions", "config", "index"])
def test_a_word_of_the_protocols_is_no_endpoints_name(registry: FakeRegistry, name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"may not be named '{name}'"):
        deploy(registry, endpoint=name)


def test_an_artifact_that_is_not_the_registered_one_is_refused(registry: FakeRegistry) -> None:
    manifest = registry.root / "digits" / "2" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(ArtifactCorruptError, match="is registered"):
        deploy(registry, "2")


def test_a_known_version_can_be_ordered_while_training_is_away(registry: FakeRegistry) -> None:
    deploy(registry, "1")
    deploy(registry, "2")
    registry.is_away = True
    assert deploy(registry, "1").traffic == shares((1, 100))
    for reference in ("3", "latest"):
        with pytest.raises(UnavailableError):
            deploy(registry, reference)


def test_a_rollback_returns_to_the_traffic_before_and_a_second_one_goes_further(registry: FakeRegistry) -> None:
    for reference in ("1", "2", "3"):
        deploy(registry, reference)
    assert roll_back().traffic == shares((2, 100))
    assert roll_back().traffic == shares((1, 100))
    with pytest.raises(ConflictError, match="no earlier traffic"):
        roll_back()


def test_a_rollback_after_a_new_deployment_returns_to_what_ran_before_it(registry: FakeRegistry) -> None:
    deploy(registry, "1")
    deploy(registry, "2")
    roll_back()
    deploy(registry, "3")
    assert roll_back().traffic == shares((1, 100))
    with pytest.raises(ConflictError):
        roll_back()


def test_the_same_order_given_twice_is_one_step_for_a_rollback(registry: FakeRegistry) -> None:
    deploy(registry, "1")
    deploy(registry, "2")
    deploy(registry, "2")
    assert roll_back().traffic == shares((1, 100))


def test_a_repeated_key_changes_nothing_and_returns_the_present_state(registry: FakeRegistry) -> None:
    for reference in ("1", "2", "3"):
        deploy(registry, reference)
    first = roll_back("alert-7")
    assert roll_back("alert-7") == first
    deploy(registry, "3")
    assert roll_back("alert-7").traffic == shares((3, 100))
    assert EndpointRevision.objects.filter(kind="rollback").count() == 1


def test_a_late_rollback_does_not_undo_a_newer_deployment(registry: FakeRegistry) -> None:
    deploy(registry, "1")
    deploy(registry, "2")
    deploy(registry, "3")
    with pytest.raises(ConflictError, match="version 2 of endpoint 'digits' has no traffic any more"):
        roll_back("k", from_version=2)
    assert roll_back("k", from_version=3).traffic == shares((2, 100))


def test_a_rollback_needs_neither_registry_nor_store(registry: FakeRegistry) -> None:
    deploy(registry, "1")
    deploy(registry, "2")
    calls = registry.calls
    registry.is_away = True
    assert roll_back().traffic == shares((1, 100))
    assert registry.calls == calls


def test_a_deleted_endpoint_keeps_its_history_and_counts_on(registry: FakeRegistry) -> None:
    deploy(registry, "1")
    services.delete_endpoint(endpoint="digits", actor="ann", reason="over")
    with pytest.raises(NotFoundError):
        selectors.get_endpoint("digits")
    assert [r.kind for r in selectors.list_revisions("digits")] == ["delete", "deploy"]
    assert deploy(registry, "2").generation == 3
    with pytest.raises(ConflictError, match="no earlier traffic"):
        roll_back()


def test_a_deployment_with_a_split_names_every_share(registry: FakeRegistry) -> None:
    deploy(registry, "1")
    info = deploy(registry, "2", traffic=shares((2, 20), (1, 80)))
    assert info.traffic == shares((1, 80), (2, 20))


def test_all_endpoints_are_read_in_a_fixed_number_of_queries(
    registry: FakeRegistry, django_assert_num_queries: Any
) -> None:
    for name in ("a", "b", "c"):
        deploy(registry, "1", endpoint=name)
    with django_assert_num_queries(3):
        assert [e.name for e in selectors.list_endpoints()] == ["a", "b", "c"]
    with django_assert_num_queries(2):
        desired = selectors.read_desired_state()
    assert [info.version for info in desired["b"].versions] == [1]


@pytest.mark.django_db(transaction=True)
def test_the_registry_is_never_asked_inside_a_transaction(registry: FakeRegistry, settings: Any) -> None:
    from aiplatform.http.transaction import forbid_open_transaction

    class Guarded(FakeRegistry):
        def get_model_version(self, model: str, reference: str) -> Any:
            forbid_open_transaction()
            return super().get_model_version(model, reference)

    guarded = Guarded(registry.root)
    guarded.versions = registry.versions
    try:
        deploy(guarded, "1")
        services.set_traffic(endpoint="digits", traffic=shares((1, 50), (2, 50)), actor="a", registry=guarded)
    except OpenTransactionError as error:  # pragma: no cover - the message is the point
        pytest.fail(str(error))
