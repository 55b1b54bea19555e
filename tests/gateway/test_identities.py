"""Tokens in memory: looked up without a database, kept when it is away."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.db import OperationalError

from aiplatform.errors import UnauthenticatedError, UnavailableError
from gateway.identities import MISS_INTERVAL_S, Identities, KnownToken
from tests.gateway.support import SECRET, FakeClock, known_token


class Table:
    """Stands for the database's tokens: counts its reads, can be down."""

    def __init__(self, *tokens: KnownToken) -> None:
        self.tokens = list(tokens)
        self.reads = 0
        self.is_down = False

    def __call__(self) -> list[KnownToken]:
        self.reads += 1
        if self.is_down:
            raise OperationalError("the database is away")
        return list(self.tokens)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token", "TOKEN"])
def test_both_schemes_are_taken_in_any_case(scheme: str) -> None:
    identities = Identities(load=Table(known_token()), clock=FakeClock())
    assert identities.authenticate(f"{scheme} {SECRET}").identity.username == "ada"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", SECRET, "Bearer a b"])
def test_any_other_header_is_refused_without_asking_the_database(header: str) -> None:
    table = Table(known_token())
    with pytest.raises(UnauthenticatedError, match="needs a token"):
        Identities(load=table, clock=FakeClock()).authenticate(header)
    assert table.reads == 0


def test_known_tokens_cost_no_reads() -> None:
    table = Table(known_token())
    identities = Identities(load=table, clock=FakeClock())
    for _ in range(100):
        identities.authenticate(f"Bearer {SECRET}")
    assert table.reads == 1


def test_a_token_made_elsewhere_works_at_its_first_use() -> None:
    clock, table = FakeClock(), Table()
    identities = Identities(load=table, clock=clock)
    identities.refresh()
    table.tokens.append(known_token())
    clock.pass_s(0.01)  # the loop has loaded the tokens just before
    assert identities.authenticate(f"Bearer {SECRET}").identity.token_id == "7"


def test_wrong_tokens_cannot_flood_the_database() -> None:
    table = Table()
    identities = Identities(load=table, clock=FakeClock())
    for number in range(50):
        with pytest.raises(UnauthenticatedError, match="not known"):
            identities.authenticate(f"Bearer wrong-{number}")
    assert table.reads == 1


def test_a_change_in_this_process_counts_at_once() -> None:
    table = Table(known_token())
    identities = Identities(load=table, clock=FakeClock())
    identities.authenticate(f"Bearer {SECRET}")
    table.tokens.clear()
    identities.mark_changed()
    with pytest.raises(UnauthenticatedError):
        identities.authenticate(f"Bearer {SECRET}")


def test_a_token_expires_in_memory_too() -> None:
    clock = FakeClock()
    identities = Identities(load=Table(known_token(expires_at_s=clock.now_s + 10)), clock=clock)
    identities.authenticate(f"Bearer {SECRET}")
    clock.pass_s(10)
    with pytest.raises(UnauthenticatedError, match="expired"):
        identities.authenticate(f"Bearer {SECRET}")


def test_with_the_database_down_the_last_known_state_keeps_working() -> None:
    clock, table = FakeClock(), Table(known_token())
    identities = Identities(load=table, clock=clock)
    identities.refresh()
    table.is_down = True
    clock.pass_s(60)
    assert identities.refresh() is False
    assert identities.authenticate(f"Bearer {SECRET}").identity.username == "ada"
    assert "the database is away" in identities.error
    assert identities.age_s == 60


def test_a_process_that_never_knew_the_tokens_says_503_and_not_401() -> None:
    clock, table = FakeClock(), Table(known_token())
    table.is_down = True
    identities = Identities(load=table, clock=clock)
    for _ in range(10):
        with pytest.raises(UnavailableError, match="no token can be checked yet"):
            identities.authenticate(f"Bearer {SECRET}")
    assert table.reads == 1
    table.is_down = False
    clock.pass_s(MISS_INTERVAL_S)
    assert identities.authenticate(f"Bearer {SECRET}")


def test_on_an_event_loop_the_database_is_read_in_a_thread() -> None:
    threads: list[int] = []

    def load() -> list[KnownToken]:
        threads.append(threading.get_ident())
        return [known_token()]

    identities = Identities(load=load, clock=FakeClock())
    found = asyncio.run(identities.authenticate_async(f"Token {SECRET}"))
    assert found.identity.username == "ada"
    assert threads
    assert threads[0] != threading.get_ident()


def test_last_uses_are_handed_over_once() -> None:
    clock = FakeClock()
    identities = Identities(load=Table(known_token()), clock=clock)
    identities.authenticate(f"Bearer {SECRET}")
    clock.pass_s(1)
    identities.authenticate(f"Bearer {SECRET}")
    assert identities.take_used() == {"7": clock.now_s}
    assert identities.take_used() == {}


def test_all_who_come_while_a_new_token_is_looked_for_get_its_answer() -> None:
    table, begun, gate = Table(), threading.Event(), threading.Event()

    def load() -> list[KnownToken]:
        found = table()
        if table.reads > 1:
            begun.set()
            assert gate.wait(10)
        return found

    identities = Identities(load=load, clock=FakeClock())
    identities.refresh()
    table.tokens.append(known_token())

    async def ask() -> list[str]:
        first = asyncio.create_task(identities.authenticate_async(f"Bearer {SECRET}"))
        await asyncio.to_thread(begun.wait, 10)
        others = [asyncio.create_task(identities.authenticate_async(f"Bearer {SECRET}")) for _ in range(20)]
        blocking = asyncio.create_task(asyncio.to_thread(identities.authenticate, f"Bearer {SECRET}"))
        await asyncio.sleep(0.05)
        first.cancel()  # whose look it was has gone
        gate.set()
        return [(await other).identity.token_id for other in [*others, blocking]]

    assert asyncio.run(ask()) == ["7"] * 21
    assert table.reads == 2


def test_on_an_event_loop_a_change_in_this_process_counts_at_once() -> None:
    table = Table(known_token())
    identities = Identities(load=table, clock=FakeClock())
    identities.refresh()
    table.tokens.clear()
    identities.mark_changed()
    with pytest.raises(UnauthenticatedError, match="not known"):
        asyncio.run(identities.authenticate_async(f"Bearer {SECRET}"))
