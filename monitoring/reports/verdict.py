"""Says in one line whether a version is well, and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """The outcome of a report, as a traffic light: green, amber, red, and two that are no verdict."""

    WELL = "well"
    WATCH = "watch"
    NOT_WELL = "not_well"
    NOT_ENOUGH_DATA = "not_enough_data"
    NO_TRAFFIC = "no_traffic"

    @property
    def words(self) -> str:
        """Return it as people read it."""
        return _WORDS[self]


_WORDS = {
    Health.WELL: "Well",
    Health.WATCH: "Worth a look",
    Health.NOT_WELL: "Not well",
    Health.NOT_ENOUGH_DATA: "Not enough data",
    Health.NO_TRAFFIC: "No traffic",
}


class Severity(StrEnum):
    """What a finding does to the verdict: bad is red, warn is amber."""

    BAD = "bad"
    WARN = "warn"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not well.

    `area` is errors, accuracy, drift, predictions, embedding, estimate, quality, change or alerts. `section` is
    the report's section that shows it.
    """

    area: str
    text: str
    severity: Severity = Severity.BAD
    section: str = ""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One thing that cannot be judged, and what is missing: `missing` more of `unit` ('labels', 'predictions')."""

    area: str
    text: str
    missing: int | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class HealthVerdict:
    """The verdict: a headline, all that speaks against the version (worst first), and what is not known."""

    health: Health
    headline: str
    text: str
    problems: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()


def give_verdict(
    *, has_traffic: bool, findings: Sequence[Finding], gaps: Sequence[Gap], praise: Sequence[str], when: str = ""
) -> HealthVerdict:
    """Return the verdict on what was found.

    `praise` is what was judged and is well; without any there is not enough data. `when` is put into the
    text of a bad verdict.
    """
    if not has_traffic:
        return HealthVerdict(
            health=Health.NO_TRAFFIC, headline="No traffic in this period", text="No traffic in this period."
        )
    problems = tuple(sorted(findings, key=lambda finding: finding.severity is not Severity.BAD))
    if problems:
        health = Health.NOT_WELL if problems[0].severity is Severity.BAD else Health.WATCH
        opening = f"{health.words} {when}".strip()
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        text = f"{opening}: {'; '.join(finding.text for finding in problems)}."
        return HealthVerdict(
            health=health,
            headline=f"{opening}: {problems[0].text}{more}",
            text=text,
            problems=problems,
            gaps=tuple(gaps),
        )
    if not praise:
        text = "Not enough data to judge: " + "; ".join(gap.text for gap in gaps) + "."
        return HealthVerdict(
            health=Health.NOT_ENOUGH_DATA, headline="Not enough data to judge", text=text, gaps=tuple(gaps)
        )
    text = f"Well: {', '.join(praise)}."
    return HealthVerdict(health=Health.WELL, headline=text.removesuffix("."), text=text, gaps=tuple(gaps))
