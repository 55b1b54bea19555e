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


class RuleKind(TextChoices):
    """What a rule compares."""

    THRESHOLD = "threshold", "threshold: the value itself"
    CHANGE = "change", "change: the value against an earlier period"
    ABSENCE = "absence", "absence: no data where there should be some"


class ChangeUnit(TextChoices):
    """How a change is expressed."""

    ABSOLUTE = "absolute", "absolute: now minus before"
    RELATIVE = "relative", "relative: (now minus before) / before"


class Reference(TextChoices):
    """What a change is measured from."""

    EARLIER = "earlier", "an earlier period: the same window so long ago"
    TRAINING = "training", "training: what the artifact says (accuracy only)"


class QuietEffect(TextChoices):
    """What quiet hours do to a rule."""

    MUTE = "mute", "mute: evaluate as ever, tell nobody"
    PAUSE = "pause", "pause: do not evaluate at all"


class Weekday(TextChoices):
    """The days of quiet hours."""

    MON = "mon", "Monday"
    TUE = "tue", "Tuesday"
    WED = "wed", "Wednesday"
    THU = "thu", "Thursday"
    FRI = "fri", "Friday"
    SAT = "sat", "Saturday"
    SUN = "sun", "Sunday"


class ChannelKind(TextChoices):
    """What stands behind a channel."""

    APPRISE = "apprise", "messages (Apprise)"
    ALERTMANAGER = "alertmanager", "a Prometheus Alertmanager"


class NoDataPolicy(TextChoices):
    """What an evaluation without enough data, or one that failed, means for an alert."""

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
    RECOVERING = "recovering"


class TargetState(TextChoices):
    """Phase and verdict in one word: an inactive target without data, or in error, says so."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"
    NO_DATA = "no_data", "no data"
    ERROR = "error"


class AlertState(TextChoices):
    """The states of an alert. Acknowledged, silenced, inhibited and muted are marks beside the state."""

    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"
    RESOLVED = "resolved"


STANDING_STATES = (AlertState.FIRING, AlertState.RECOVERING)  # it fired, and is not over
ACTIVE_STATES = (AlertState.PENDING, *STANDING_STATES)


class ToldState(TextChoices):
    """What a group's receivers know of an alert."""

    NOTHING = "", "nothing"
    FIRING = "firing"
    RESOLVED = "resolved"


class EventKind(TextChoices):
    """What the timeline of an alert tells."""

    STARTED = "started"
    FIRED = "fired"
    RECOVERING = "recovering"
    RELAPSED = "relapsed", "wrong again"
    NO_DATA = "no_data", "no data"
    ERROR = "error"
    DATA_BACK = "data_back", "data is back"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    UNSILENCED = "unsilenced", "no longer silenced"
    MUTED = "muted"
    UNMUTED = "unmuted", "no longer muted"
    ESCALATED = "escalated"
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
    ESCALATION = "escalation"
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
    RECOVERING = "recovering"
    RELAPSED = "relapsed"
    DROPPED = "dropped"
    RESOLVED = "resolved"
