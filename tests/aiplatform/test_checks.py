"""System checks: misconfiguration is told with an id and a hint."""

from __future__ import annotations

from typing import Any

import pytest

from aiplatform import checks
from gateway import checks as gateway_checks


def ids(problems: list[Any]) -> list[str]:
    assert all(problem.hint for problem in problems)
    return [problem.id for problem in problems]


def test_a_sound_configuration_has_no_problems() -> None:
    for check in (checks.check_secrets, checks.check_services, checks.check_stores, checks.check_split):
        assert check(None) == []


def test_missing_and_short_secrets_are_errors(settings: Any) -> None:
    settings.IS_SECRET_KEY_SET, settings.INTERNAL_SECRETS = False, []
    assert ids(checks.check_secrets(None)) == ["aiplatform.E001", "aiplatform.E002"]
    settings.IS_SECRET_KEY_SET, settings.INTERNAL_SECRETS = True, ["x" * 32, "short"]
    assert ids(checks.check_secrets(None)) == ["aiplatform.E003"]
    settings.DEBUG = True
    assert checks.check_secrets(None) == []


def test_a_service_that_is_neither_here_nor_there_is_an_error(settings: Any) -> None:
    settings.CONFIGURED_ROLES = frozenset({"gateway"})
    settings.SERVICE_URLS = {"training": "http://t:1", "inference": "", "monitoring": ""}
    problems = checks.check_services(None)
    assert ids(problems) == ["aiplatform.E004"] * 2
    assert "INFERENCE_URL" in problems[0].msg


@pytest.mark.parametrize(("store", "expected"), [("ftp://x", ["aiplatform.E005"]), ("file:///x", [])])
def test_an_unknown_store_is_an_error(settings: Any, store: str, expected: list[str]) -> None:
    settings.ARTIFACT_STORE = store
    assert ids(checks.check_stores(None)) == expected


def test_an_unsupported_database_is_an_error(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.mysql")
    assert ids(checks.check_stores(None)) == ["aiplatform.E007"]


def test_a_split_over_one_sqlite_file_is_a_warning(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SERVICE_URLS = {"training": "http://t:1"}
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")
    assert ids(checks.check_split(None)) == ["aiplatform.W001"]


def test_the_gateways_settings_are_checked(settings: Any) -> None:
    settings.RATE_LIMIT_PREDICT, settings.BREAKER_FAILURES, settings.IDENTITY_REFRESH_S = "lots", 0, 10
    settings.SERVICE_URLS = {"training": "http://a:1,b:2", "inference": "http://a:1/path"}
    assert ids(gateway_checks.check_rates(None)) == ["gateway.E001"]
    assert ids(gateway_checks.check_times(None)) == ["gateway.E002", "gateway.W001"]
    assert ids(gateway_checks.check_addresses(None)) == ["gateway.E003"] * 2
