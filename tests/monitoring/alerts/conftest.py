"""Alert tests start without the default rules."""

import pytest

from monitoring.models.alerts import AlertRule
from tests.monitoring.alerts.world import World


@pytest.fixture
def world(db: None) -> World:
    """Return a world in which one version of mnist is well, and no rule is there yet."""
    AlertRule.objects.all().delete()
    return World()
