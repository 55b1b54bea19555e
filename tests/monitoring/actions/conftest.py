"""The world of alerts, for rules that act."""

from tests.monitoring.alerts.conftest import world

__all__ = ["world"]
