"""Which parts of the platform a process is: its Django apps and its URLs follow from here."""

from __future__ import annotations

from collections.abc import Iterable

from aiplatform.errors import InvalidConfigurationError

GATEWAY, TRAINING, INFERENCE, MONITORING, CONSOLE = ROLES = (
    "gateway",
    "training",
    "inference",
    "monitoring",
    "console",
)
ALL = "all"

# The console is the admin over every app's tables, so it loads all four.
APPS_BY_ROLE: dict[str, tuple[str, ...]] = {
    GATEWAY: ("gateway",),
    TRAINING: ("training",),
    INFERENCE: ("inference",),
    MONITORING: ("monitoring",),
    CONSOLE: ("gateway", "training", "inference", "monitoring"),
}


def parse_roles(text: str) -> frozenset[str]:
    """Return the roles of a comma-separated list; 'all' is every role.

    Raises: InvalidConfigurationError naming the roles there are.
    """
    names = {name.strip() for name in text.split(",") if name.strip()}
    if names == {ALL}:
        return frozenset(ROLES)
    unknown = sorted(names - set(ROLES))
    if unknown or not names:
        raise InvalidConfigurationError(f"AIPLATFORM_ROLES must be '{ALL}' or some of {', '.join(ROLES)}, not '{text}'")
    return frozenset(names)


def apps_for(roles: Iterable[str]) -> list[str]:
    """Return the platform's apps that the roles need, in a fixed order."""
    needed = {app for role in roles for app in APPS_BY_ROLE[role]}
    return [app for app in ("gateway", "training", "inference", "monitoring") if app in needed]
