"""What the leader of a team and its members tell each other, one JSON document in a line."""

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
    """Learn from these of the training rows; the whole step has `of` rows. `rate`: a new learning rate.

    `epoch` and `step`, which counts from 0, say what random changes of images follow from.
    """

    rows: list[int]
    of: int
    epoch: int
    step: int
    rate: float | None = None


class Load(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """Take the leader's state over, from a file; then draw random numbers of one's own from `seed`."""

    path: str
    seed: int


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """Nothing follows."""


class Alive(msgspec.Struct, frozen=True, kw_only=True, tag="alive"):
    """The other side is there; said by both where they are on different machines."""


class Leave(msgspec.Struct, frozen=True, kw_only=True, tag="leave"):
    """A member's machine is to be taken away: the run should stop in good order."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """A member cannot go on."""

    message: str


Command = Step | Load | End | Alive
Answer = Alive | Leave | Failed
END = End()


def encode(message: MemberOrder | Command | Answer) -> bytes:
    """Return a line."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> MemberOrder:
    """Return the order of a first line."""
    return msgspec.json.decode(line, type=MemberOrder)


def decode_command(line: bytes) -> Command:
    """Return the command of any later line."""
    command: Command = msgspec.json.decode(line, type=Command)
    return command


def decode_answer(line: bytes) -> Answer:
    """Return what a member says.

    Raises: msgspec.MsgspecError if it is nothing that a member says.
    """
    answer: Answer = msgspec.json.decode(line, type=Answer)
    return answer
