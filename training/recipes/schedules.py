"""How the learning rate goes over a training: up during the warm-up, then along a schedule."""

from __future__ import annotations

import math

CONSTANT, LINEAR, COSINE = "constant", "linear", "cosine"
SCHEDULES = (CONSTANT, LINEAR, COSINE)


def rate_factor(schedule: str, *, step: int, steps: int, warmup: float) -> float:
    """Return what the learning rate is multiplied by at a step, from just above 0 to 1.

    `step` counts from 0 over all epochs, `steps` is their number, `warmup` the share of them in which the rate
    grows in a straight line. After that it stays, or falls to 0 at the end along a line or half a cosine.
    Source: Loshchilov and Hutter, SGDR (2017), eq. 5, for the cosine; Goyal et al. (2017), 2.2, for the warm-up.
    """
    rising = math.ceil(steps * warmup)
    if step < rising:
        return (step + 1) / rising
    passed = (step - rising) / max(1, steps - rising)
    if schedule == LINEAR:
        return 1.0 - passed
    if schedule == COSINE:
        return 0.5 * (1.0 + math.cos(math.pi * passed))
    return 1.0
