"""Alert tests start without the default rules."""

from collections.abc import Iterator

import pytest

from monitoring.alerts import wire
from monitoring.models.alerts import AlertRule
from tests.monitoring.alerts.world import World, set_route


@pytest.fixture
def world(db: None) -> World:
    """Return a world in which one version of mnist is well, and no rule is there yet."""
    AlertRule.objects.all().delete()
    set_route(group_wait_s=0, group_interval_s=1)  # tests of groups set Alertmanager's own times
    return World()


@pytest.fixture(autouse=True)
def fresh_evaluator() -> Iterator[None]:
    """Let no test inherit the lease and the slot of another's evaluator."""
    wire.evaluator.cache_clear()
    yield
    wire.evaluator.cache_clear()
