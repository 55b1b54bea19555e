"""Typed reads of the environment, remembered for the documentation; roles."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiplatform.environment import Environment
from aiplatform.errors import InvalidConfigurationError
from aiplatform.roles import ROLES, apps_for, parse_roles


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return Environment(tmp_path / ".env")


def test_values_are_read_in_their_type(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"X_FLAG": "yes", "X_INT": "7", "X_NUMBER": "1.5", "X_LIST": "a, b"}.items():
        monkeypatch.setenv(name, value)
    assert env.flag("X_FLAG", False, "h") is True
    assert env.integer("X_INT", 1, "h") == 7
    assert env.number("X_NUMBER", 1, "h") == 1.5
    assert env.items("X_LIST", [], "h") == ["a", "b"]
    assert env.text("X_ABSENT", "default", "h") == "default"


@pytest.mark.parametrize(
    ("read", "value"),
    [("integer", "many"), ("integer", ""), ("number", "inf"), ("number", "1,5"), ("flag", "maybe"), ("flag", "")],
)
def test_a_value_of_another_type_is_refused_with_its_name_and_the_value(
    env: Environment, monkeypatch: pytest.MonkeyPatch, read: str, value: str
) -> None:
    monkeypatch.setenv("X_ONE", value)
    with pytest.raises(InvalidConfigurationError, match=f"X_ONE must be .*, not '{value}'"):
        getattr(env, read)("X_ONE", 1, "h")


def test_an_empty_list_has_no_items_and_blanks_are_no_part_of_them(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X_EMPTY", "")
    monkeypatch.setenv("X_LIST", " a,b ,c d")
    assert env.items("X_EMPTY", ["default"], "h") == []
    assert env.items("X_LIST", [], "h") == ["a", "b", "c d"]


def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("X_ONE=file\nX_TWO=file\n")
    monkeypatch.setenv("X_ONE", "environment")
    monkeypatch.setenv("X_TWO", "")
    monkeypatch.delenv("X_TWO")  # what the file puts there is taken away again after the test
    env = Environment(tmp_path / ".env")
    assert (env.text("X_ONE", "", "h"), env.text("X_TWO", "", "h")) == ("environment", "file")


def test_every_read_is_remembered_with_its_section(env: Environment) -> None:
    env.section("Group")
    env.text("X_SECRET", "do not show", "What it is for", shown="none")
    (variable,) = env.variables
    assert (variable.name, variable.default, variable.section) == ("X_SECRET", "none", "Group")


def test_all_is_every_role_and_a_list_is_some() -> None:
    assert parse_roles("all") == frozenset(ROLES)
    assert parse_roles(" gateway, inference ") == {"gateway", "inference"}


@pytest.mark.parametrize("text", ["", ",", "gatway", "all,gateway", "gateway;training"])
def test_unknown_roles_are_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(InvalidConfigurationError, match="gateway, training, inference, monitoring, console"):
        parse_roles(text)


def test_a_role_loads_its_app_alone_and_the_console_all() -> None:
    assert apps_for({"gateway"}) == ["gateway"]
    assert apps_for({"monitoring", "training"}) == ["training", "monitoring"]
    assert apps_for({"console"}) == ["gateway", "training", "inference", "monitoring"]
