"""Which jobs have anything to do: asked of the database for all of them together.

Most looks find nothing, and what they cost is hardly the database's: it is Django putting the query into words, each
time anew. So the words are kept, and one statement asks for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from aiplatform.wiring import Job


class Lookout:
    """Looks for the rows that some jobs wait for; each of the jobs says which (`Job.waiting`)."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._sql = ""
        self._parameters: tuple[Any, ...] = ()

    def list_due(self) -> list[Job]:
        """Return the jobs for which a row waits; raises what the database does."""
        if not self._sql:
            self._put_into_words()
        with connection.cursor() as cursor:
            cursor.execute(self._sql, self._parameters)
            found = cursor.fetchone()
        return [job for job, is_due in zip(self._jobs, found, strict=True) if is_due]

    def _put_into_words(self) -> None:
        questions = [job.waiting().order_by().values("pk").query.sql_with_params() for job in self._jobs if job.waiting]
        self._parameters = tuple(value for _, parameters in questions for value in parameters)
        self._sql = "SELECT " + ", ".join(f"EXISTS ({sql})" for sql, _ in questions)
