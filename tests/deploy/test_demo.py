"""The demo's first step: secrets, made where there are none and never changed where there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.demo.platform import DemoError, make_secrets

GIVEN = {"SECRET_KEY": "a", "INTERNAL_SECRETS": "b"}


class Manage:
    """Remembers which commands were run, and writes what `init_env` would."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.ran: list[tuple[str, ...]] = []

    def __call__(self, *arguments: str) -> str:
        self.ran.append(arguments)
        self.file.write_text("SECRET_KEY=a\nINTERNAL_SECRETS=b\n")
        return f"wrote {self.file}\n"


def test_secrets_are_made_once_where_there_are_none(tmp_path: Path) -> None:
    manage = Manage(tmp_path / ".env")
    assert make_secrets(file=manage.file, environment={}, write=manage) == f"wrote {manage.file}"
    assert make_secrets(file=manage.file, environment={}, write=manage) == ""
    assert manage.ran == [("init_env",)]


def test_secrets_of_the_environment_are_enough(tmp_path: Path) -> None:
    manage = Manage(tmp_path / ".env")
    assert make_secrets(file=manage.file, environment=GIVEN, write=manage) == ""
    assert manage.ran == []


def test_a_file_without_secrets_is_left_alone_and_named(tmp_path: Path) -> None:
    manage = Manage(tmp_path / ".env")
    manage.file.write_text("LOG_FORMAT=console\nSECRET_KEY=a\n")
    with pytest.raises(DemoError, match=r"\.env is there and does not set INTERNAL_SECRETS"):
        make_secrets(file=manage.file, environment={}, write=manage)
    assert make_secrets(file=manage.file, environment={"INTERNAL_SECRETS": "b"}, write=manage) == ""
