"""Who orders something from the command line, for the logs."""

from __future__ import annotations

import getpass


def command_line_actor() -> str:
    """Return the system's user, marked as the command line."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):  # a container's user may have no name
        return "command line"
