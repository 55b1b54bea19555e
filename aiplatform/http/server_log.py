"""gunicorn's logger without its access log: a line a request is what metrics and the doors' own lines are for.

With a logging configuration of one's own gunicorn prepares an access line for each request, which nobody
sees here (`accesslog` is off): a tenth of what a prediction costs.
"""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger


class ServerLog(Logger):  # type: ignore[misc]
    """Errors and the server's life, as configured; no request."""

    @property
    def access_log_enabled(self) -> bool:
        """Say that no access line is wanted, so that none is prepared."""
        return False

    def access(self, *args: Any, **options: Any) -> None:
        """Write nothing."""
