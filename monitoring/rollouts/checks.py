"""Whether the settings of rollouts make a policy that a rollout could follow."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

from aiplatform.errors import InvalidInputError
from monitoring.rollouts.policy import read_policy


def check_rollout_settings(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with ROLLOUT_*."""
    found: list[CheckMessage] = []
    try:
        read_policy({})
    except (InvalidInputError, ValueError) as error:
        found.append(Error(f"the settings ROLLOUT_* make no policy: {error}", id="monitoring.E060",
                           hint="see docs/rollouts.md"))  # fmt: skip
    if settings.ROLLOUT_INTERVAL_S <= 0:
        found.append(Error("ROLLOUT_INTERVAL_S must be greater than 0", id="monitoring.E061", hint="2 is the default"))
    if not 0 < settings.SHADOW_SHARE <= 1:
        found.append(Error(f"SHADOW_SHARE must be above 0 and at most 1, not {settings.SHADOW_SHARE}",
                           id="monitoring.E062", hint="0.1 is the default"))  # fmt: skip
    return found
