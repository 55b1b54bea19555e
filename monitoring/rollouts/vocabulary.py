"""The words of rollouts, used by models, services, APIs and pages alike."""

from __future__ import annotations

from django.db.models import TextChoices


class RolloutState(TextChoices):
    """Where a rollout stands. What it waits for is a text beside it."""

    RUNNING = "running"
    ROLLING_BACK = "rolling_back", "rolling back"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back", "rolled back"
    ABORTED = "aborted"
    SUPERSEDED = "superseded", "superseded by a newer order"


ACTIVE = (RolloutState.RUNNING, RolloutState.ROLLING_BACK, RolloutState.PROMOTING)
OVER = (RolloutState.PROMOTED, RolloutState.ROLLED_BACK, RolloutState.ABORTED, RolloutState.SUPERSEDED)


class PersonsOrder(TextChoices):
    """What a person wants of a running rollout; the next look carries it out."""

    NONE = "", "-"
    ABORT = "abort"
    PROMOTE = "promote"


class StepKind(TextChoices):
    """The gates, in their order."""

    VALIDATION = "validation"
    LOADING = "loading"
    REPLAY = "replay"
    SHADOW = "shadow"
    CANARY = "canary"


class StepState(TextChoices):
    """How far a step has come. `waiting` is 'not enough data': it says what is missing."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting", "not enough data"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


ENTERED = (StepState.RUNNING, StepState.WAITING)


class Verdict(TextChoices):
    """What a look at a step found."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_ENOUGH_DATA = "not_enough_data", "not enough data"
    GO_ON = "go_on", "go on"  # enough data, not enough time
    SKIP = "skip"
