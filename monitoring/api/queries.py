"""Reads the query strings of reports and measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from aiplatform.errors import InvalidInputError
from monitoring.reports.compare import Side
from monitoring.reports.report import DEFAULT_PERIOD_S, choose_period
from monitoring.selectors import Period

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ReportQuery:
    """Which version, over the last `period_s` seconds, or from `start` to `end`."""

    endpoint: str
    version: int
    period_s: int = DEFAULT_PERIOD_S
    start: datetime | None = None
    end: datetime | None = None

    def period(self) -> Period:
        """Return the period that is asked for; InvalidInputError if a report cannot cover it."""
        return choose_period(period_s=self.period_s, start=self.start, end=self.end, now=datetime.now(UTC))


@dataclass(frozen=True, kw_only=True)
class CompareQuery(ReportQuery):
    """A version, and the other that is compared with it; without `other_endpoint` one of the same endpoint."""

    other_version: int
    other_endpoint: str | None = None

    def sides(self) -> tuple[Side, Side]:
        """Return the two."""
        other = Side(endpoint=self.other_endpoint or self.endpoint, version=self.other_version)
        return Side(endpoint=self.endpoint, version=self.version), other


@dataclass(frozen=True, kw_only=True)
class MeasureQuery:
    """Which metric of what; without `version` all versions together."""

    metric: str
    endpoint: str
    version: int | None = None
    window_s: int = 300
    feature: str | None = None


def read_report_query(query: Mapping[str, str]) -> ReportQuery:
    """Return the query; InvalidInputError names what is missing or no number."""
    return _convert(query, ReportQuery)


def read_compare_query(query: Mapping[str, str]) -> CompareQuery:
    """Return the query; InvalidInputError names what is missing or no number."""
    return _convert(query, CompareQuery)


def read_measure_query(query: Mapping[str, str]) -> MeasureQuery:
    """Return the query; InvalidInputError names what is missing or no number."""
    return _convert(query, MeasureQuery)


def _convert(query: Mapping[str, str], kind: type[T]) -> T:
    given = {name: query[name] for name in query if query[name] != ""}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"the query: {error}") from error
