"""The predict door on the lane: who passes, who goes the ordinary way, and what is counted."""

from __future__ import annotations

from typing import Any

import pytest

from aiplatform.http.lane import Exchange, Head
from aiplatform.http.lane.head import MAY_VARY
from aiplatform.identity import Scope
from gateway.identities import Identities
from gateway.lane import LaneDoor
from gateway.limits.limiter import Limiter
from gateway.policy import PredictPolicy
from tests.gateway.support import FakeClock, bearer, known_token

PREDICT = "/v1/models/digits:predict"


class Behind:
    """Answers every plan."""

    varying = MAY_VARY

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.usernames: list[str] = []
        self.has_plan = True

    def plan(self, head: Head) -> str | None:
        return head.path if self.has_plan else None

    def start(self, plan: str, body: bytes, exchange: Exchange) -> bool:
        self.bodies.append(body)
        self.usernames.append(exchange.identity.username if exchange.identity else "")
        exchange.answer(200, b"{}")
        return True


class Line:
    """Keeps what is answered."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    def finish_exchange(self, head: bytes, body: bytes) -> None:
        self.heads.append(head)
        self.bodies.append(body)


class Door:
    """A door with its surroundings."""

    def __init__(self, *tokens: Any) -> None:
        self.behind = Behind()
        self.clock = FakeClock()
        self.tokens = list(tokens or (known_token(),))
        self.counted: list[tuple[str, int]] = []
        self.identities = Identities(load=lambda: self.tokens, clock=self.clock)
        self.identities.refresh()
        self.line = Line()
        self.door = LaneDoor(
            self.behind,
            PredictPolicy(
                identities=self.identities,
                limiter=Limiter(clock=self.clock),
                count=lambda route, status, seconds: self.counted.append((route, status)),
            ),
        )

    def ask(self, *, headers: dict[str, str] | None = None, body: bytes = b"x") -> bool:
        fields = {name.lower().encode(): value.encode() for name, value in (headers or bearer()).items()}
        plan = self.door.plan(Head(PREDICT, fields, len(body)))
        return plan is not None and self.door.start(plan, body, Exchange(self.line))


def test_a_known_token_passes_with_its_name_and_the_answer_says_limits_and_request() -> None:
    door = Door(known_token(predict="5/min"))
    assert door.ask(headers={**bearer(), "X-Request-Id": "req-1"})
    assert (door.behind.bodies, door.behind.usernames) == ([b"x"], ["ada"])
    head = door.line.heads[0]
    for line in (b"ratelimit-limit: 5", b"ratelimit-remaining: 4", b"ratelimit-policy: 5;w=60", b"x-request-id: req-1"):
        assert b"\r\n" + line + b"\r\n" in head
    assert door.counted == [("predict", 200)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "*/*"},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer"},
    ],
)
def test_who_is_not_known_goes_the_ordinary_way_and_is_not_counted(headers: dict[str, str]) -> None:
    door = Door()
    assert not door.ask(headers=headers)
    assert (door.behind.bodies, door.counted, door.line.heads) == ([], [], [])


def test_a_token_without_the_scope_goes_the_ordinary_way() -> None:
    door = Door(known_token(scopes=frozenset({Scope.MONITOR})))
    assert not door.ask()
    assert door.behind.bodies == []


def test_what_nobody_behind_wants_goes_the_ordinary_way() -> None:
    door = Door()
    door.behind.has_plan = False
    assert not door.ask()


def test_a_revoked_token_does_not_pass_though_its_head_was_seen_before() -> None:
    door = Door()
    assert door.ask()
    door.tokens.clear()
    door.identities.mark_changed()
    assert not door.ask(), "a change is due to be looked at"
    door.identities.refresh()
    assert not door.ask()
    assert door.behind.bodies == [b"x"]


def test_an_expired_token_does_not_pass() -> None:
    door = Door(known_token(expires_at_s=FakeClock()() + 10))
    assert door.ask()
    door.clock.now_s += 11
    assert not door.ask()


def test_past_the_limit_the_answer_is_a_429_and_nothing_is_passed_on() -> None:
    door = Door(known_token(predict="2/min"))
    assert [door.ask() for _ in range(3)] == [True] * 3
    assert len(door.behind.bodies) == 2
    assert door.line.heads[2].startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nretry-after: " in door.line.heads[2]
    assert b"\r\nratelimit-remaining: 0\r\n" in door.line.heads[2]
    assert b"'predict'" in door.line.bodies[2]
    assert [status for _, status in door.counted] == [200, 200, 429]


def test_a_harmful_request_id_is_replaced() -> None:
    door = Door()
    door.ask(headers={**bearer(), "X-Request-Id": "a b"})
    assert b"x-request-id: a b" not in door.line.heads[0]


def test_a_process_that_never_saw_the_tokens_lets_nobody_pass() -> None:
    door = Door()
    door.door = LaneDoor(
        door.behind,
        PredictPolicy(identities=Identities(load=list, clock=door.clock), limiter=Limiter(clock=door.clock)),
    )
    assert not door.ask()
