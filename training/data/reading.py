"""How one source is read, and what was found in it: its split, its bad rows, its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiplatform.errors import InvalidInputError
from training.data.location import DataLocation
from training.data.split import SplitRule, parse_split

FAIL, SKIP = "fail", "skip"
DEFAULT_LIMIT = 0.05
LISTED = 20  # bad rows that are told one by one
IN_ERROR = 5
_REASON_LENGTH = 300


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """One row or file that cannot be used. `where` is 'row 17' or a file's name."""

    where: str
    reason: str


@dataclass(kw_only=True)
class SourceReport:
    """What a run's record says of one source. `rows` are counted by part; `bad` lists the first of `bad_count`."""

    source: str
    split: str = "seed"
    on_bad: str = FAIL
    bad_limit: float = DEFAULT_LIMIT
    fingerprint: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    bad_count: int = 0
    bad: list[BadRow] = field(default_factory=list)
    is_streamed: bool = False
    note: str = ""  # what the log says beside

    def add_bad(self, where: str, reason: str) -> None:
        """Note a row that cannot be used."""
        self.bad_count += 1
        if len(self.bad) < LISTED:
            self.bad.append(BadRow(where=where, reason=reason[:_REASON_LENGTH]))

    def settle(self, *, total: int) -> None:
        """Go on if bad rows may be skipped; `total` counts good and bad rows.

        Raises: InvalidInputError with the first bad rows, by policy 'fail' or above the limit.
        """
        if not self.bad_count:
            return
        named = "; ".join(f"{bad.where}: {bad.reason}" for bad in self.bad[:IN_ERROR])
        more = f"; and {self.bad_count - IN_ERROR} more" if self.bad_count > IN_ERROR else ""
        found = f"'{self.source}' has bad rows, {self.bad_count} of {total}"
        if self.on_bad == FAIL:
            raise InvalidInputError(f"{found}: {named}{more} (with the option on_bad=skip they are left out)")
        if self.bad_count > total * self.bad_limit:
            raise InvalidInputError(
                f"{found}, more than bad_limit={self.bad_limit:g} of them may be skipped: {named}{more}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "source": self.source, "split": self.split, "rows": dict(self.rows), "fingerprint": self.fingerprint,
            "is_streamed": self.is_streamed, "on_bad": self.on_bad, "bad_limit": self.bad_limit,
            "bad_count": self.bad_count, "bad": [{"where": bad.where, "reason": bad.reason} for bad in self.bad],
        }  # fmt: skip

    def sentences(self) -> list[str]:
        """Return what a run's log says of it."""
        rows = ", ".join(f"{count} {part}" for part, count in self.rows.items())
        said = [f"data '{self.source}': {rows or 'no'} rows, split={self.split}, fingerprint {self.fingerprint or '-'}"]
        if self.is_streamed:
            said.append("it is larger than DATA_MEMORY_BYTES: read in shards, shuffled through a buffer")
        if self.note:
            said.append(self.note)
        if self.bad_count:
            said.append(f"{self.bad_count} bad rows (on_bad={self.on_bad}), the first of them:")
            said += [f"  {bad.where}: {bad.reason}" for bad in self.bad]
        return said


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a loader is told: seed and split, the column to predict, the source's own options, the report to fill."""

    seed: int
    target: str | None = None
    task: str = "auto"  # what the target is, see training.data.targets
    split: SplitRule = field(default_factory=SplitRule)
    options: Mapping[str, str] = field(default_factory=dict)
    report: SourceReport = field(default_factory=lambda: SourceReport(source="data"))

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of the source's content."""
        return self.report.fingerprint


def take_reading(location: DataLocation, *, seed: int, target: str | None, task: str) -> tuple[DataLocation, Reading]:
    """Return the location without the options that every source takes, and how it is to be read.

    Raises: InvalidInputError for a rule, a policy or a limit that does not exist.
    """
    location, split = location.take_option("split")
    location, policy = location.take_option("on_bad")
    location, limit = location.take_option("bad_limit")
    rule = parse_split(split)
    if policy not in ("", FAIL, SKIP):
        raise InvalidInputError(f"option 'on_bad' must be {FAIL} or {SKIP}, not '{policy}'")
    report = SourceReport(
        source=location.place,
        split=str(rule),
        on_bad=policy or FAIL,
        bad_limit=_read_share(limit or f"{DEFAULT_LIMIT}"),
    )
    return location, Reading(seed=seed, target=target, task=task, split=rule, options=location.options, report=report)


def check_fingerprint(uri: str, found: str, expected: str | None) -> None:
    """Raise InvalidInputError if a registered source is not what it was."""
    if expected and found != expected:
        raise InvalidInputError(
            f"'{uri}' has changed since it was registered: its fingerprint is {found}, not {expected}; "
            "register it again for a new version"
        )


def _read_share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InvalidInputError(f"option 'bad_limit' must be a share from 0 to 1, not '{text}'")
    return share
