"""Which member of a team this process is: by the environment, as torchrun and Kubeflow's trainers say it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiplatform.errors import InvalidConfigurationError

RANK, WORLD_SIZE, ADDRESS, PORT, TF_CONFIG = "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TF_CONFIG"
LOCAL_RANK, LOCAL_WORLD_SIZE = "LOCAL_RANK", "LOCAL_WORLD_SIZE"
NAMES = (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, ADDRESS, PORT, TF_CONFIG)
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Rank 0 leads. A process that is in no team is the only one of its world.

    `local`: which of the `local_world` processes of its machine it is; unless it is said, all are on one.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    local_world: int = 1

    @property
    def is_alone(self) -> bool:
        """Say whether there is nobody to share a step with."""
        return self.world == 1


def this_place(environment: Mapping[str, str] | None = None) -> Place:
    """Return the place of this process.

    Raises: InvalidConfigurationError if the environment names a place that cannot be.
    """
    given = os.environ if environment is None else environment
    rank, world = _pair(given, RANK, WORLD_SIZE, default=(0, 1))
    local, local_world = _pair(given, LOCAL_RANK, LOCAL_WORLD_SIZE, default=(rank, world))
    return Place(rank=rank, world=world, local=local, local_world=local_world)


def _pair(given: Mapping[str, str], first: str, second: str, *, default: tuple[int, int]) -> tuple[int, int]:
    try:
        number, count = int(given.get(first) or default[0]), int(given.get(second) or default[1])
    except ValueError as error:
        raise InvalidConfigurationError(
            f"{first} and {second} must be whole numbers, not '{given.get(first)}' and '{given.get(second)}'"
        ) from error
    if not 0 <= number < count:
        raise InvalidConfigurationError(f"{first} must be below {second}, {count}, not {number}")
    return number, count


def worker_folder(work_dir: Path, rank: int) -> Path:
    """Return where a member keeps what its data takes on disk; the leader removes it when the team ends."""
    return work_dir / f"worker-{rank}"


def environment_of(rank: int, ports: list[int], *, cores: int) -> dict[str, str]:
    """Return what makes a process the member of that rank, of a team on this machine.

    `ports`: two for each member, the first half for TensorFlow's servers; PyTorch's meeting place is the last of them.
    """
    world = len(ports) // 2
    workers = [f"127.0.0.1:{port}" for port in ports[:world]]
    place = Place(rank=rank, world=world, local=rank, local_world=world)
    return place_environment(place, workers, meeting=("127.0.0.1", ports[-1]), cores=cores)


def place_environment(place: Place, workers: list[str], *, meeting: tuple[str, int], cores: int) -> dict[str, str]:
    """Return what makes a process take a place.

    `workers`: where TensorFlow's servers listen, by rank; `meeting`: where PyTorch's processes find each other.
    A machine's cores are shared out, for each framework would start a thread on every one of them.
    """
    return {
        RANK: str(place.rank),
        WORLD_SIZE: str(place.world),
        LOCAL_RANK: str(place.local),
        LOCAL_WORLD_SIZE: str(place.local_world),
        ADDRESS: meeting[0],
        PORT: str(meeting[1]),
        TF_CONFIG: json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": place.rank}}),
        **dict.fromkeys(THREADS, str(max(1, cores // place.local_world))),
    }
