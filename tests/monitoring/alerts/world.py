"""A small world for alert tests: a clock that is moved by hand, measurements that are set by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from monitoring.alerts.evaluation import Evaluator
from monitoring.alerts.groups import flush_due_groups
from monitoring.alerts.notifications import Backoff, Delivery, send_due_notifications
from monitoring.alerts.routing import ensure_default_route
from monitoring.models.alerts import Alert, AlertRule, Channel, Route, RuleTarget
from monitoring.readings import Readings
from monitoring.statistics import Measurement

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass
class World:
    """What the evaluator sees. `value` is measured everywhere unless `values` says otherwise."""

    now: datetime = START
    value: float | None = 0.0
    samples: int = 1000
    detail: dict[str, Any] = field(default_factory=dict)
    values: dict[tuple[str, int], float | Exception | None] = field(default_factory=dict)
    active: list[tuple[str, int]] = field(default_factory=lambda: [("mnist", 1)])
    serving: dict[str, frozenset[int] | None] = field(default_factory=lambda: {"mnist": frozenset({1})})
    deliveries: list[Delivery] = field(default_factory=list)
    delivery_error: BaseException | None = None
    measured: list[dict[str, Any]] = field(default_factory=list)

    def measure(self, metric: str, *, readings: Readings, **asked: Any) -> Measurement:
        """Return what was set."""
        self.measured.append({"metric": metric, **asked})
        value = self.values.get((asked["endpoint"], asked["version"]), self.value)
        if isinstance(value, Exception):
            raise value
        return Measurement(metric=metric, value=value, samples=0 if value is None else self.samples, detail=self.detail)

    def evaluator(self, **options: Any) -> Evaluator:
        """Return an evaluator that looks at this world."""
        return Evaluator(
            measure=self.measure,
            list_active_versions=lambda since: list(self.active),
            serving_versions=lambda endpoint: self.serving.get(endpoint, frozenset()),
            clock=lambda: self.now,
            **options,
        )

    def tick(self, seconds: float = 10, value: float | None = None, **options: Any) -> None:
        """Let time pass, set the value if one is given, and evaluate."""
        self.now += timedelta(seconds=seconds)
        if value is not None:
            self.value = value
        self.evaluator(**options).run()
        self.flush()

    def flush(self) -> int:
        """Tell what is due of every group."""
        return flush_due_groups(clock=lambda: self.now)

    def pass_time(self, seconds: float) -> None:
        """Let time pass with an evaluation every 10 s."""
        for _ in range(round(seconds / 10)):
            self.tick(10)

    def deliver(self, delivery: Delivery) -> None:
        """Take a message, or fail as told."""
        if self.delivery_error:
            raise self.delivery_error
        self.deliveries.append(delivery)

    def send(self, attempts: int = 3) -> int:
        """Send what is due."""
        return send_due_notifications(
            deliver=self.deliver, clock=lambda: self.now, backoff=Backoff(attempts=attempts, first_s=5)
        )

    def titles(self) -> list[str]:
        """Return the titles of the delivered messages, after sending what is due."""
        self.send()
        return [delivery.title for delivery in self.deliveries]


def make_rule(**fields: Any) -> AlertRule:
    """Return a stored rule: error_rate above 0.05, at once."""
    defaults = {"name": "errors", "metric": "error_rate", "threshold": 0.05, "summary": "{endpoint} fails"}
    rule = AlertRule(**{**defaults, **fields})
    rule.full_clean()
    rule.save()
    return rule


def set_route(**fields: Any) -> Route:
    """Change the default route."""
    route = ensure_default_route()
    Route.objects.filter(pk=route.pk).update(**fields)
    return Route.objects.get(pk=route.pk)


def make_channel(name: str = "ops", **fields: Any) -> Channel:
    """Return a stored default channel that leads nowhere."""
    return Channel.objects.create(name=name, url="json://127.0.0.1:9/hook", **fields)


def only_alert() -> Alert:
    """Return the one alert there is."""
    return Alert.objects.get()


def target_state() -> str:
    """Return the state of the one target there is."""
    return RuleTarget.objects.get().state


def event_kinds(alert: Alert) -> list[str]:
    """Return the kinds in an alert's timeline."""
    return [event.kind for event in alert.events.all()]
