"""Which parts of the platform a process is: its Django apps and its URLs follow from here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

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

# What a command needs where its first role is held: the other apps and the console are most of its time until it
# begins. `train` orders a deployment of an inference that is not elsewhere, as the trainer does.
ROLES_OF_COMMANDS: dict[str, tuple[str, ...]] = {"train": (TRAINING, INFERENCE)}


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


def roles_of_process(configured: frozenset[str], argv: Sequence[str]) -> frozenset[str]:
    """Return the roles that a process takes of those that its machine was given: a command may need but some."""
    program, word = Path(argv[0]).name if argv else "", argv[1] if len(argv) > 1 else ""
    is_ready = (program, word) == ("trainer.py", "--ready")  # it came up beside the command
    command = "train" if is_ready else word if program == "manage.py" else ""
    needed = ROLES_OF_COMMANDS.get(command, ())
    return configured & set(needed) if needed and needed[0] in configured else configured


def apps_for(roles: Iterable[str]) -> list[str]:
    """Return the platform's apps that the roles need, in a fixed order."""
    needed = {app for role in roles for app in APPS_BY_ROLE[role]}
    return [app for app in ("gateway", "training", "inference", "monitoring") if app in needed]
