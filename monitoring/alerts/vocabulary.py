"""The words of alerting, used by models, services, APIs and pages alike."""

from __future__ import annotations

import operator
from collections.abc import Callable
from enum import StrEnum

from django.db.models import TextChoices

EVERY_ENDPOINT = "*"


class Severity(TextChoices):
    """How bad it is."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Comparison(TextChoices):
    """How a measured value stands to the threshold when something is wrong."""

    GT = "gt", "above"
    GE = "ge", "at or above"
    LT = "lt", "below"
    LE = "le", "at or below"

    def holds(self, value: float, threshold: float) -> bool:
        """Say whether the value stands so to the threshold."""
        return _OPERATORS[self.value](value, threshold)


_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}


class NoDataPolicy(TextChoices):
    """What an evaluation without enough data means for an alert."""

    KEEP = "keep", "keep the state as it is"
    ALERT = "alert", "treat it as wrong"
    OK = "ok", "treat it as well"


class VersionScope(TextChoices):
    """Which versions of an endpoint a rule watches."""

    ANY = "any", "every version with recent predictions"
    SERVING = "serving", "the versions that have traffic now"
    ONE = "one", "one version"


class Verdict(TextChoices):
    """What one evaluation found."""

    OK = "ok"
    BREACH = "breach"
    NO_DATA = "no_data", "no data"
    ERROR = "error"


class Phase(TextChoices):
    """Where a rule stands for one endpoint version, whatever the last evaluation found."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


class TargetState(TextChoices):
    """Phase and verdict in one word: an inactive target without data, or in error, says so."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    NO_DATA = "no_data", "no data"
    ERROR = "error"


class AlertState(TextChoices):
    """The states of an alert. Acknowledged and silenced are marks beside the state."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


ACTIVE_STATES = (AlertState.PENDING, AlertState.FIRING)


class EventKind(TextChoices):
    """What the timeline of an alert tells."""

    STARTED = "started"
    FIRED = "fired"
    NO_DATA = "no_data", "no data"
    ERROR = "error"
    DATA_BACK = "data_back", "data is back"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    UNSILENCED = "unsilenced", "no longer silenced"
    NOTIFIED = "notified"
    NOT_NOTIFIED = "not_notified", "notification failed"
    ACTION = "action"
    RESOLVED = "resolved"


class ActionKind(TextChoices):
    """What a rule may do by itself."""

    NONE = "none"
    FREEZE = "freeze", "freeze the endpoint's rollout"
    ROLLBACK = "rollback", "roll the endpoint back"
    RETRAIN = "retrain", "retrain, and put the result up as challenger"
    SWITCH_OFF = "switch_off", "switch the endpoint off"


class ActionState(TextChoices):
    """How far an action has come.

    `refused`: the present state forbids it, trying again is useless. `dry_run`: written down, not done.
    """

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    SKIPPED = "skipped"
    DRY_RUN = "dry_run", "would have been done"


class NotificationKind(TextChoices):
    """Why somebody is told."""

    FIRING = "firing"
    REPEAT = "repeat", "still firing"
    RESOLVED = "resolved"
    ACTION = "action"


class NotificationState(TextChoices):
    """How far a message has come."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Transition(StrEnum):
    """The step that an evaluation made."""

    NONE = "none"
    STARTED = "started"
    FIRED = "fired"
    DROPPED = "dropped"
    RESOLVED = "resolved"
