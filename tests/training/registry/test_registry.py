"""Numbers, aliases and readiness of versions."""

from __future__ import annotations

import pytest

from aiplatform.errors import InvalidInputError, NotFoundError
from training import registry, selectors

from ..factories import make_version

pytestmark = pytest.mark.django_db


def test_a_version_is_found_by_number_by_alias_and_as_the_latest() -> None:
    make_version()
    newest = make_version()
    registry.set_alias(model_name="mnist", alias="champion", reference="1")
    assert selectors.get_version("mnist", "1").version == 1
    assert selectors.get_version("mnist", "champion").version == 1
    assert selectors.get_version("mnist", "latest") == newest


def test_a_pending_version_is_not_to_be_seen() -> None:
    make_version()
    make_version(is_ready=False)
    assert selectors.get_version("mnist", "latest").version == 1
    with pytest.raises(NotFoundError, match="no version '2'"):
        selectors.get_version("mnist", "2")
    assert [v.version for v in selectors.list_versions("mnist")] == [1]


def test_a_model_without_a_ready_version_is_not_there() -> None:
    make_version(is_ready=False)
    with pytest.raises(NotFoundError, match="no model 'mnist'"):
        selectors.get_version("mnist", "latest")


def test_an_alias_moves_and_names_one_version() -> None:
    make_version()
    make_version()
    registry.set_alias(model_name="mnist", alias="champion", reference="1")
    registry.set_alias(model_name="mnist", alias="champion", reference="latest", actor="ann")
    (alias,) = selectors.list_aliases("mnist")
    assert (alias.version.version, alias.changed_by) == (2, "ann")


@pytest.mark.parametrize("name", ["latest", "3", "Champion", "", "a/b", "-x"])
def test_a_reserved_or_malformed_alias_is_refused(name: str) -> None:
    make_version()
    with pytest.raises(InvalidInputError):
        registry.set_alias(model_name="mnist", alias=name, reference="1")


def test_an_alias_for_a_version_that_is_not_there_is_refused() -> None:
    make_version()
    with pytest.raises(NotFoundError, match="no version '7'"):
        registry.set_alias(model_name="mnist", alias="champion", reference="7")


def test_removing_an_alias_leaves_the_version() -> None:
    make_version()
    registry.set_alias(model_name="mnist", alias="champion", reference="1")
    registry.remove_alias(model_name="mnist", alias="champion")
    assert selectors.get_version("mnist", "1").version == 1
    with pytest.raises(NotFoundError, match="champion"):
        registry.remove_alias(model_name="mnist", alias="champion")
