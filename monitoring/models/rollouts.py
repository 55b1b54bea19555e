"""Tables of rollouts: policies, rollouts with their steps and events, shadow comparisons, the human hold."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from monitoring.models.alerts.lengths import ENDPOINT_LENGTH
from monitoring.rollouts.policy import policy_problems
from monitoring.rollouts.vocabulary import ACTIVE, PersonsOrder, RolloutState, StepKind, StepState, Verdict


class PromotionPolicy(models.Model):
    """What an endpoint's challengers must show; what is not in `values` is as the settings say."""

    endpoint = models.CharField(max_length=ENDPOINT_LENGTH, unique=True)
    values = models.JSONField(default=dict, blank=True, help_text='For example {"steps": [10, 100], "alpha": 0.01}')
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.CharField(max_length=150, blank=True, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["endpoint"]
        verbose_name = "promotion policy"
        verbose_name_plural = "promotion policies"

    def __str__(self) -> str:
        return self.endpoint

    def clean(self) -> None:
        """Refuse values that no rollout could follow.

        Raises: ValidationError naming value and rule.
        """
        super().clean()
        problems = policy_problems(self.values)
        if problems:
            raise ValidationError({"values": problems})


class Rollout(models.Model):
    """One challenger's way. `fence` grows with each claim: only the holder of the present one may write."""

    key = models.CharField(max_length=200, unique=True, help_text="The same order twice is one rollout")
    endpoint = models.CharField(max_length=ENDPOINT_LENGTH, db_index=True)
    model = models.CharField(max_length=63)
    champion = models.PositiveIntegerField()
    challenger = models.PositiveIntegerField()
    policy = models.JSONField(default=dict)
    state = models.CharField(max_length=14, choices=RolloutState.choices, default=RolloutState.RUNNING)
    outcome = models.CharField(max_length=14, choices=RolloutState.choices, blank=True, help_text="After rolling back")
    waiting_for = models.CharField(max_length=1000, blank=True)
    reason = models.CharField(max_length=1000, blank=True, help_text="Why it ended")
    order = models.CharField(max_length=8, choices=PersonsOrder.choices, blank=True)
    ordered_by = models.CharField(max_length=150, blank=True)
    is_paused = models.BooleanField(default=False)
    paused_by = models.CharField(max_length=150, blank=True)
    traffic_before = models.JSONField(default=list)
    generation = models.PositiveIntegerField(default=0, help_text="Of the traffic that it counts on")
    started_by = models.CharField(max_length=150)
    started_for = models.CharField(max_length=1000, blank=True)
    owner = models.CharField(max_length=128, blank=True)
    claimed_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField()
    failed_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-pk"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                fields=["endpoint"], condition=Q(state__in=[s.value for s in ACTIVE]), name="one_rollout_per_endpoint"
            )
        ]

    def __str__(self) -> str:
        state = str(self.get_state_display()).lower()
        return f"{self.endpoint}: version {self.challenger} instead of {self.champion} ({state})"

    @property
    def is_active(self) -> bool:
        """Say whether it goes on."""
        return self.state in ACTIVE


class RolloutStep(models.Model):
    """One gate of a rollout, and all that was seen there."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="steps")
    number = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=10, choices=StepKind.choices)
    weight = models.PositiveSmallIntegerField(default=0, help_text="Percent of the requests, for a canary")
    state = models.CharField(max_length=8, choices=StepState.choices, default=StepState.PENDING)
    verdict = models.CharField(max_length=16, choices=Verdict.choices, blank=True)
    text = models.CharField(max_length=1000, blank=True)
    baseline = models.JSONField(default=dict, help_text="What was counted before the step")
    evidence = models.JSONField(default=dict)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["number"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["rollout", "number"], name="one_rollout_step_per_number")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """Return what people call it."""
        return f"canary {self.weight}%" if self.kind == StepKind.CANARY else self.kind

    @property
    def shown_state(self) -> str:
        """Return how far it is, in words; what still waits when its rollout is over was never reached."""
        is_left = self.state == StepState.PENDING and not self.rollout.is_active
        return "not reached" if is_left else str(self.get_state_display()).lower()


class RolloutEvent(models.Model):
    """One line of a rollout's timeline."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    text = models.CharField(max_length=1000)
    actor = models.CharField(max_length=150, blank=True)
    tone = models.CharField(max_length=5, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.text}"


class ShadowCount(models.Model):
    """What one process counted of a shadow in a few seconds; see the contract's ShadowComparison."""

    batch_id = models.CharField(max_length=80, unique=True)
    endpoint = models.CharField(max_length=ENDPOINT_LENGTH)
    champion = models.PositiveIntegerField()
    challenger = models.PositiveIntegerField()
    since = models.DateTimeField(db_index=True)
    until = models.DateTimeField()
    requests = models.PositiveBigIntegerField()
    errors = models.PositiveBigIntegerField()
    dropped = models.PositiveBigIntegerField()
    rows = models.PositiveBigIntegerField()
    labelled_rows = models.PositiveBigIntegerField()
    agreed_rows = models.PositiveBigIntegerField()
    valued_rows = models.PositiveBigIntegerField()
    difference_sum = models.FloatField()
    champion_latencies = models.JSONField(default=list)
    challenger_latencies = models.JSONField(default=list)
    last_error = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["endpoint", "challenger", "since"], name="shadow_count_of")
        ]

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.requests} requests to version {self.challenger}"


class AutomationHold(models.Model):
    """A person has stopped all automation, everywhere or for one endpoint, until it is lifted."""

    endpoint = models.CharField(max_length=ENDPOINT_LENGTH, blank=True, help_text="Empty: everywhere")
    reason = models.CharField(max_length=500)
    placed_by = models.CharField(max_length=150)
    placed_at = models.DateTimeField()
    lifted_by = models.CharField(max_length=150, blank=True)
    lifted_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-placed_at"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["endpoint"], condition=Q(lifted_at=None), name="one_hold_per_place")
        ]

    def __str__(self) -> str:
        return f"{self.endpoint or 'everywhere'}: {self.reason}"
