"""Reads the query strings of reports and measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from aiplatform.errors import InvalidInputError
from monitoring.reports.report import DEFAULT_PERIOD_S

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ReportQuery:
    """Which version, over how many of the last seconds."""

    endpoint: str
    version: int
    period_s: int = DEFAULT_PERIOD_S


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


def read_measure_query(query: Mapping[str, str]) -> MeasureQuery:
    """Return the query; InvalidInputError names what is missing or no number."""
    return _convert(query, MeasureQuery)


def _convert(query: Mapping[str, str], kind: type[T]) -> T:
    given = {name: query[name] for name in query if query[name] != ""}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"the query: {error}") from error
