"""Which member of a team this process is: by the environment, as torchrun and Kubeflow's trainers say it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiplatform.errors import InvalidConfigurationError

RANK, WORLD_SIZE, ADDRESS, PORT, TF_CONFIG = "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TF_CONFIG"
NAMES = (RANK, WORLD_SIZE, ADDRESS, PORT, TF_CONFIG)
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Rank 0 leads. A process that is in no team is the only one of its world."""

    rank: int = 0
    world: int = 1

    @property
    def is_alone(self) -> bool:
        """Say whether there is nobody to share a step with."""
        return self.world == 1


def this_place(environment: Mapping[str, str] | None = None) -> Place:
    """Return the place of this process.

    Raises: InvalidConfigurationError if the environment names a place that cannot be.
    """
    given = os.environ if environment is None else environment
    try:
        place = Place(rank=int(given.get(RANK) or 0), world=int(given.get(WORLD_SIZE) or 1))
    except ValueError as error:
        raise InvalidConfigurationError(
            f"{RANK} and {WORLD_SIZE} must be whole numbers, not '{given.get(RANK)}' and '{given.get(WORLD_SIZE)}'"
        ) from error
    if not 0 <= place.rank < place.world:
        raise InvalidConfigurationError(f"{RANK} must be below {WORLD_SIZE}, {place.world}, not {place.rank}")
    return place


def worker_folder(work_dir: Path, rank: int) -> Path:
    """Return where a member keeps what its data takes on disk; the leader removes it when the team ends."""
    return work_dir / f"worker-{rank}"


def environment_of(rank: int, ports: list[int], *, cores: int) -> dict[str, str]:
    """Return what makes a process the member of that rank, of a team on this machine.

    `ports`: two for each member, the first half for TensorFlow's servers; PyTorch's meeting place is the last of them.
    The machine's cores are shared out, for each framework would start a thread on every one of them.
    """
    world = len(ports) // 2
    workers = [f"127.0.0.1:{port}" for port in ports[:world]]
    threads = str(max(1, cores // world))
    return {
        RANK: str(rank),
        WORLD_SIZE: str(world),
        ADDRESS: "127.0.0.1",
        PORT: str(ports[-1]),
        TF_CONFIG: json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}}),
        **dict.fromkeys(THREADS, threads),
    }
