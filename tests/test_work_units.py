"""Tests that stand on the same platform stay together; those of two platforms may be divided."""

from __future__ import annotations

import pytest

from tests.work_units import unit_of


def test_a_file_is_a_unit() -> None:
    assert unit_of("tests/gateway/test_door.py::test_a[x]") == unit_of("tests/gateway/test_door.py::Class::test_b")
    assert unit_of("tests/gateway/test_door.py::test_a") != unit_of("tests/gateway/test_api.py::test_a")


@pytest.mark.parametrize("kinds", [("single", "split"), ("s3", "gs")])
def test_a_file_is_divided_by_the_platform_that_is_started(kinds: tuple[str, str]) -> None:
    units = [unit_of(f"tests/e2e/test_road.py::test_{number}[{kind}]") for kind in kinds for number in range(2)]
    assert units[0] == units[1] != units[2] == units[3]
    assert unit_of(f"tests/e2e/test_road.py::test_a[{kinds[0]}-path/of-a thing-404]") == units[0]
    assert unit_of(f"tests/e2e/test_road.py::test_a[a thing-{kinds[0]}]") == units[0]


def test_a_word_among_others_is_no_platform() -> None:
    assert unit_of("tests/e2e/test_road.py::test_a_split[asplit]") == unit_of("tests/e2e/test_road.py::test_b")
    assert unit_of("tests/training/test_data.py::test_a[split]") == unit_of("tests/training/test_data.py::test_a[s3]")


def test_the_files_of_all_clients_meet_at_a_platform() -> None:
    path = "tests/e2e/clients"
    assert unit_of(f"{path}/test_a.py::test_a[single]") == unit_of(f"{path}/test_b.py::test_b[single-x]")
    assert unit_of(f"{path}/test_a.py::test_a[single]") != unit_of(f"{path}/test_a.py::test_a[split]")


def test_what_takes_minutes_by_itself_is_a_unit_of_its_own() -> None:
    backends = "tests/training/recipes/test_keras_backends.py"
    units = [unit_of(f"{backends}::{test}") for test in ("test_a[torch]", "test_b[torch]", "test_a[jax]", "test_c")]
    assert len(set(units)) == 4
    assert unit_of(f"{backends}::test_c") == unit_of(f"{backends}::test_d") == backends
    nodes = "tests/training/launchers/test_many_nodes.py"
    team = f"{nodes}::test_two_pods_learn_over_the_frameworks_own_engines"
    assert len({unit_of(f"{team}[keras_cnn]"), unit_of(f"{team}[torch_cnn]"), unit_of(f"{nodes}::test_a[x]")}) == 3
