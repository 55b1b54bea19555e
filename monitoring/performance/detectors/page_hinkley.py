"""Page-Hinkley: adds up how far a stream lies from its own mean, and alarms when that runs away, up or down.

Source: Page, Continuous Inspection Schemes, Biometrika 41 (1954); Gama et al., A Survey on Concept Drift
Adaptation, ACM Computing Surveys 46 (2014), 3.3. With x_t the value, in standard deviations of the noise,
minus the mean so far:

    up_t = max(0, up_(t-1) + x_t - delta)      down_t = max(0, down_(t-1) - x_t - delta)

and an alarm when either is above lambda. Values come with their own scale, since windows differ in size. If
the values so far have strayed further than that says, as means of heavy tails and of daily cycles do, the scale is
how far they have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from monitoring.performance.detectors.adwin import Change

MIN_VALUES = 5  # before that the mean is not known well enough
CLIP = 4.0  # deviations: one wild window alone alarms nobody


@dataclass
class PageHinkley:
    """`delta` is half the change, in deviations, that is to be found soonest; a larger `limit` alarms later."""

    delta: float = 0.5
    limit: float = 10.0
    weight: float = 0.0
    mean: float = 0.0
    count: int = 0
    up: float = 0.0
    down: float = 0.0
    strayed: float = 0.0  # mean square of the distances, in the deviations that came with them
    since: float = 0.0  # weight and sum since the sum that grows was last 0: the level after a change
    since_sum: float = 0.0

    def update(self, value: float, *, deviation: float, weight: float) -> Change | None:
        """Take the next value with the deviation of its noise; return the change if it is one, and start anew."""
        if self.count >= MIN_VALUES and deviation > 0:
            apart = (value - self.mean) / deviation
            scale = max(1.0, math.sqrt(self.strayed))
            distance = max(-CLIP, min(CLIP, apart / scale))
            self.strayed += (min(apart * apart, (CLIP * scale) ** 2) - self.strayed) / (self.count + 1)
            self.up = max(0.0, self.up + distance - self.delta)
            self.down = max(0.0, self.down - distance - self.delta)
            self._follow(value, weight)
            if max(self.up, self.down) > self.limit:
                change = Change(before=self.mean, after=self.since_sum / self.since)
                self.__init__(delta=self.delta, limit=self.limit)  # type: ignore[misc]  # all forgotten
                return change
            value = self.mean + distance * deviation * scale  # so that a wild window does not spoil the mean
        self.count += 1
        self.weight += weight
        self.mean += (value - self.mean) * weight / self.weight
        return None

    def _follow(self, value: float, weight: float) -> None:
        if not self.up and not self.down:
            self.since = self.since_sum = 0.0
            return
        self.since += weight
        self.since_sum += weight * value

    def to_dict(self) -> dict[str, float]:
        """Return what is remembered."""
        names = ("weight", "mean", "count", "up", "down", "strayed", "since", "since_sum")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_dict(cls, state: dict[str, float]) -> PageHinkley:
        """Rebuild from `to_dict`."""
        return cls(**{**state, "count": int(state.get("count", 0))})  # type: ignore[arg-type]
