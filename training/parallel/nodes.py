"""A team on many machines: which node this process is on, and where those of the other nodes are found.

A cluster's launcher says it by the environment; a node's number comes from the cluster itself, as the index of the
pod in its Job (Kubeflow's TrainJob makes such a Job, too).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiplatform.errors import InvalidConfigurationError
from training.parallel.place import Place, place_environment

HOSTS, FIRST_PORT, PROCESSES, LOCAL = "TRAINER_NODES", "TRAINER_NODE_PORT", "TRAINER_PROCESSES", "TRAINER_LOCAL"
INDEX = "JOB_COMPLETION_INDEX"


@dataclass(frozen=True, kw_only=True)
class Seat:
    """One process of a team of `processes` on each of `hosts`. `node` and `local` say which; rank 0 leads.

    Ports: the first is where members come to the leader, the next PyTorch's meeting place, then one for each rank's
    server of TensorFlow.
    """

    hosts: tuple[str, ...]
    first_port: int
    processes: int = 1
    node: int = 0
    local: int = 0

    @property
    def world(self) -> int:
        """Return how many processes share a step."""
        return len(self.hosts) * self.processes

    @property
    def rank(self) -> int:
        """Return which of them this is."""
        return self.node * self.processes + self.local

    def environment_of(self, rank: int, *, cores: int) -> dict[str, str]:
        """Return what makes a process the member of that rank; `cores` are those of its machine."""
        workers = [f"{self.hosts[one // self.processes]}:{self.first_port + 2 + one}" for one in range(self.world)]
        place = Place(rank=rank, world=self.world, local=rank % self.processes, local_world=self.processes)
        return place_environment(place, workers, meeting=(self.hosts[0], self.first_port + 1), cores=cores)


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """What a team's leader needs to lead processes on other machines.

    `key`: known to the processes of this attempt alone. `look`: called about twice a second while it waits for them,
    with what it waits for, in the end with nothing; may raise to end the wait. `ask_stop`: called when a node is to be
    taken away.
    """

    seat: Seat
    key: bytes = field(repr=False)
    look: Callable[[str], None] = field(repr=False, compare=False)
    ask_stop: Callable[[], None] = field(repr=False, compare=False)


def this_seat(environment: Mapping[str, str] | None = None) -> Seat | None:
    """Return the seat of this process; None if its team, if any, is on this machine alone.

    Raises: InvalidConfigurationError if the environment names a seat that cannot be.
    """
    given = os.environ if environment is None else environment
    hosts = tuple(name for name in given.get(HOSTS, "").split(",") if name)
    if not hosts:
        return None
    seat = Seat(
        hosts=hosts,
        first_port=_number(given, FIRST_PORT, 1, 65_535 - 2 - len(hosts) * 64),
        processes=_number(given, PROCESSES, 1, 64, default="1"),
        node=_number(given, INDEX, 0, len(hosts) - 1),
        local=_number(given, LOCAL, 0, 63, default="0"),
    )
    if seat.local >= seat.processes:
        raise InvalidConfigurationError(f"{LOCAL} must be below {PROCESSES}, {seat.processes}, not {seat.local}")
    return seat


def _number(given: Mapping[str, str], name: str, low: int, high: int, *, default: str = "") -> int:
    text = given.get(name) or default
    if not text.isdigit() or not low <= int(text) <= high:
        raise InvalidConfigurationError(f"{name} must be a whole number from {low} to {high}, not '{text}'")
    return int(text)
