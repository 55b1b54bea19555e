"""The console in front of fakes, with and without a person logged in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from aiplatform.wiring import Panel, wiring
from tests.aiplatform.console.fake_world import World, world


@pytest.fixture
def fake_world(settings: Any) -> World:
    """Give fakes behind the console's clients."""
    settings.TEMPLATES = [
        {**engine, "DIRS": [*engine["DIRS"], Path(__file__).parent / "templates"]} for engine in settings.TEMPLATES
    ]
    settings.ROOT_URLCONF = "tests.aiplatform.console.fake_world"
    world.reset()
    return world


@pytest.fixture
def admin_user(db: Any) -> Any:
    """Give a superuser."""
    return get_user_model().objects.create_superuser("ada", "ada@example.org", "correct horse battery")


@pytest.fixture
def staff(admin_user: Any) -> Client:
    """Give a client that is logged in as a superuser."""
    client = Client()
    client.force_login(admin_user)
    return client


@pytest.fixture
def panels() -> Iterator[list[Panel]]:
    """Give the announced panels, to be changed; they come back afterwards."""
    kept = list(wiring.panels)
    wiring.panels.clear()
    yield wiring.panels
    wiring.panels[:] = kept
