"""Asks the store in SQL: DuckDB over the rows of a period, for people who look for something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from monitoring.store.exporting import common_rows
from monitoring.store.reading import ENGINE, OnProblem

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
else:
    duckdb = late_module("duckdb")
    pa = late_module("pyarrow")

MAX_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The first rows of an answer."""

    columns: Sequence[str]
    rows: list[tuple[Any, ...]]
    is_cut: bool


def ask_store(
    endpoint: str, sql: str, *, since: datetime, until: datetime, on_problem: OnProblem | None = None
) -> Answer:
    """Return what a query finds in the table `predictions`: the rows of a period, with the truth.

    The engine sees that table only: no file, no network. Rows stream through it once, so the table can be named
    once. Raises: InvalidInputError with the engine's reason.
    """
    schema, batches = common_rows(endpoint, since=since, until=until, on_problem=on_problem)
    with duckdb.connect(":memory:", config=ENGINE) as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("predictions", pa.RecordBatchReader.from_batches(schema, batches))
        engine.execute("SET lock_configuration = true")
        try:
            found = engine.execute(sql)
            rows = found.fetchmany(MAX_ROWS + 1)
            names = [column[0] for column in found.description or []]
        except duckdb.Error as error:
            raise InvalidInputError(f"the query: {str(error).splitlines()[0]}") from error
    return Answer(columns=names, rows=rows[:MAX_ROWS], is_cut=len(rows) > MAX_ROWS)
