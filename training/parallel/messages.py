"""What the leader of a team tells its members, one JSON document in a line of their standard input."""

from __future__ import annotations

from typing import Any

import msgspec


class MemberOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What all members of a team load and build alike; the first line."""

    recipe: str
    parameters: dict[str, Any]
    data_uri: str
    target: str | None
    seed: int
    work_dir: str
    cache_dir: str | None
    cache_bytes: int
    expected: dict[str, str]
    memory_bytes: int
    databases: dict[str, str]


class Step(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """Learn from these of the training rows; the whole step has `of` rows. `rate`: a new learning rate."""

    rows: list[int]
    of: int
    rate: float | None = None


class Load(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """Take the leader's state over, from a file; then draw random numbers of one's own from `seed`."""

    path: str
    seed: int


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """Nothing follows."""


Command = Step | Load | End
END = End()


def encode(message: MemberOrder | Command) -> bytes:
    """Return a line."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> MemberOrder:
    """Return the order of a first line."""
    return msgspec.json.decode(line, type=MemberOrder)


def decode_command(line: bytes) -> Command:
    """Return the command of any later line."""
    command: Command = msgspec.json.decode(line, type=Command)
    return command
