"""Who answers for which endpoint: an immutable snapshot, replaced as a whole.

A request holds the version it was given until it is answered. A change swaps the snapshot
first and drains the old version afterwards, so no request meets a version that is going away.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType

from aiplatform.contracts.inference import ReplicaState
from aiplatform.errors import NotFoundError, UnavailableError
from inference.loaded import LoadedVersion


@dataclass(frozen=True, kw_only=True)
class PendingVersion:
    """A version that belongs to the endpoint but cannot answer (yet)."""

    state: ReplicaState
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One endpoint: what is loaded, how requests are shared, and which names stand for versions.

    `weights` may name versions that are not loaded: the loaded ones share the requests. With an
    `off_reason` nothing answers.
    """

    endpoint: str
    versions: Mapping[int, LoadedVersion] = field(default_factory=dict)
    weights: Mapping[int, int] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    pending: Mapping[int, PendingVersion] = field(default_factory=dict)
    off_reason: str = ""
    is_split: bool = field(init=False, compare=False, default=False)  # more than one version gets requests
    # Set once in __post_init__: versions with traffic, and the running sums of their weights.
    _choices: tuple[LoadedVersion, ...] = field(init=False, repr=False, compare=False, default=())
    _bounds: tuple[int, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        loaded = {} if self.off_reason else self.versions
        shares = [(v, w) for v, w in sorted(self.weights.items()) if w > 0 and v in loaded]
        object.__setattr__(self, "is_split", len(shares) > 1)
        object.__setattr__(self, "_choices", tuple(self.versions[v] for v, _ in shares))
        object.__setattr__(self, "_bounds", tuple(accumulate(w for _, w in shares)))

    @property
    def has_traffic(self) -> bool:
        """Say whether any version shall get requests."""
        return not self.off_reason and any(weight > 0 for weight in self.weights.values())

    @property
    def is_ready(self) -> bool:
        """Say whether a version that has traffic is loaded."""
        return bool(self._choices)

    @property
    def default(self) -> LoadedVersion:
        """Return the loaded version with the greatest weight, for questions about the endpoint.

        Raises: UnavailableError if none is loaded.
        """
        if not self._choices:
            raise self._unavailable()
        return max(self._choices, key=lambda loaded: (self.weights[loaded.version], loaded.version))

    def pick(self, point: float) -> LoadedVersion:
        """Return the version at `point` (0 <= point < 1) of the loaded versions' shares."""
        if not self._choices:
            raise self._unavailable()
        if len(self._choices) == 1:
            return self._choices[0]
        return self._choices[bisect_right(self._bounds, point * self._bounds[-1])]

    def version(self, number: int) -> LoadedVersion:
        """Return a version by number, with or without traffic.

        Raises: UnavailableError while it loads or if loading failed; NotFoundError otherwise.
        """
        if self.off_reason:
            raise self._unavailable()
        loaded = self.versions.get(number)
        if loaded is not None:
            return loaded
        if number in self.pending:
            raise UnavailableError(self._state_text(number), version=number)
        served = ", ".join(str(v) for v in sorted(self.versions)) or "none"
        raise NotFoundError(f"version {number} of model '{self.endpoint}' is not served; served versions: {served}")

    def labelled(self, label: str) -> LoadedVersion:
        """Return the version that a label stands for; raises as `version` does."""
        number = self.labels.get(label)
        if number is None:
            known = ", ".join(sorted(self.labels)) or "none"
            raise NotFoundError(f"model '{self.endpoint}' has no label '{label:.80}'; its labels: {known}")
        return self.version(number)

    def _unavailable(self) -> UnavailableError:
        if self.off_reason:
            return UnavailableError(f"endpoint '{self.endpoint}' is switched off: {self.off_reason}", is_off=True)
        states = "; ".join(self._state_text(number) for number in sorted(self.pending))
        return UnavailableError(states or f"no version of model '{self.endpoint}' is loaded yet")

    def _state_text(self, number: int) -> str:
        pending = self.pending[number]
        detail = f": {pending.message}" if pending.message else ""
        return f"version {number} of model '{self.endpoint}' is {pending.state.value}{detail}"


def point_of(endpoint: str, key: str) -> float:
    """Return where a key falls in an endpoint's shares, from 0 to below 1; the same in every process.

    A key that is in a version's share stays there while that share grows, if two versions share.
    """
    digest = hashlib.blake2b(f"{endpoint}:{key}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


class RoutingTable:
    """The present snapshot."""

    def __init__(self) -> None:
        self._routes: Mapping[str, Route] = MappingProxyType({})
        self._is_filled = False

    @property
    def is_ready(self) -> bool:
        """Say whether it was filled at least once and every endpoint that has traffic can answer."""
        return self._is_filled and all(r.is_ready for r in self._routes.values() if r.has_traffic)

    @property
    def routes(self) -> Mapping[str, Route]:
        """Return the snapshot; it never changes, the next one is another object."""
        return self._routes

    def swap(self, routes: Mapping[str, Route]) -> None:
        """Replace the snapshot in one step. Drain what is no longer in it afterwards.

        An endpoint whose first version still loads belongs in it, with `pending`; a process with
        no endpoints is ready after its first, empty swap.
        """
        self._routes = MappingProxyType(dict(routes))
        self._is_filled = True

    def route(self, endpoint: str) -> Route:
        """Return an endpoint's route; NotFoundError if there is none."""
        route = self._routes.get(endpoint)
        if route is None:
            raise NotFoundError(f"no model is served under the name '{endpoint:.80}'")
        return route

    def choose(
        self, endpoint: str, *, version: int | None = None, label: str | None = None, key: str | None = None
    ) -> LoadedVersion:
        """Return the version that answers: the one asked for, else one by weight.

        The same `key` gets the same version as long as the weights stay.
        Raises: NotFoundError for an unknown name; UnavailableError if it is not loaded.
        """
        route = self.route(endpoint)
        if version is not None:
            return route.version(version)
        if label is not None:
            return route.labelled(label)
        return route.pick(random.random() if key is None else point_of(endpoint, key))  # noqa: S311

    def hold(
        self, endpoint: str, *, version: int | None = None, label: str | None = None, key: str | None = None
    ) -> LoadedVersion:
        """Choose, and keep the version from going away until its `release()`; raises as `choose`."""
        for _ in range(8):
            loaded = self.choose(endpoint, version=version, label=label, key=key)
            if loaded.hold():
                return loaded
            # It began to drain after we looked; the snapshot without it is there already.
        raise UnavailableError(f"model '{endpoint}' is changing its versions; try again")
