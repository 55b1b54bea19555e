"""The rules of a traffic split, in one place for services, commands and forms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiplatform.contracts.inference import TrafficShare
from aiplatform.errors import InvalidInputError

MAX_VERSIONS = 8  # each one is loaded in every replica
_SHARE = re.compile(r"(\d{1,9})=(\d{1,3})%?")


def check_traffic(traffic: Sequence[TrafficShare]) -> tuple[TrafficShare, ...]:
    """Return the shares by version, if they are a split: whole percents that add up to 100.

    A share of 0 keeps a version loaded without sending it unaddressed requests.
    Raises: InvalidInputError naming the rule and the value.
    """
    versions = [share.version for share in traffic]
    if not 1 <= len(versions) <= MAX_VERSIONS:
        raise InvalidInputError(f"traffic must name 1 to {MAX_VERSIONS} versions, not {len(versions)}")
    if len(set(versions)) != len(versions):
        raise InvalidInputError(f"traffic must name each version once, not {sorted(versions)}")
    for share in traffic:
        if share.version < 1 or not 0 <= share.weight <= 100:
            raise InvalidInputError(
                f"a share is a version from 1 and a weight of 0 to 100 percent, not {share.version}={share.weight}"
            )
    total = sum(share.weight for share in traffic)
    if total != 100:
        raise InvalidInputError(f"the weights of an endpoint must add up to 100, not {total}")
    return tuple(sorted(traffic, key=lambda share: share.version))


def parse_traffic(words: Iterable[str]) -> tuple[TrafficShare, ...]:
    """Return the split that `3=90 4=10` stands for.

    Raises: InvalidInputError for any other form, or if it is no split.
    """
    shares = []
    for word in words:
        match = _SHARE.fullmatch(word.strip())
        if match is None:
            raise InvalidInputError(f"a share is written VERSION=PERCENT, for example 3=90, not '{word}'")
        shares.append(TrafficShare(version=int(match[1]), weight=int(match[2])))
    return check_traffic(shares)


def describe_traffic(traffic: Iterable[TrafficShare]) -> str:
    """Return a split for people: `version 3: 90%, version 4: 10%`."""
    return ", ".join(f"version {share.version}: {share.weight}%" for share in traffic)


def to_plain(traffic: Iterable[TrafficShare]) -> list[dict[str, int]]:
    """Return a split as JSON keeps it."""
    return [{"version": share.version, "weight": share.weight} for share in traffic]


def from_plain(rows: Iterable[Mapping[str, Any]]) -> tuple[TrafficShare, ...]:
    """Return the split that JSON kept."""
    return tuple(TrafficShare(version=int(row["version"]), weight=int(row["weight"])) for row in rows)
