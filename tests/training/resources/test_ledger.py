"""Leases in the database: given once, freed with the run, whatever happened to its holder."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from aiplatform.contracts.training import Holding, ReportHoldings
from aiplatform.errors import InvalidInputError
from aiplatform.machine import this_machine
from training.leases import Claim, claim_run, end_run, take_back_run
from training.models import ResourceHost, ResourceLease, Run, RunUsage, ServingHolding
from training.resources.amounts import Capacity, Grant
from training.resources.asking import ResourceOrder, check_resources, estimate, parse_size
from training.resources.granting import claim_with_grant, decide_queue, settle_leases, used_shares
from training.resources.holdings import keep_holdings
from training.resources.hosts import SILENT_S, register_host
from training.resources.ledger import read_ledger
from training.states import ExitClass, RunState

from ..factories import make_run
from .machines import GIB, device

HERE = "here/1"


@dataclass
class Place:
    """As much of a launcher as the ledger asks."""

    place: str = HERE
    capacity: Capacity | None = field(
        default_factory=lambda: Capacity(cores=4, memory_bytes=8 * GIB, cpus=(0, 1, 2, 3), slots=1)
    )
    ends_with_platform: bool = True

    def measure_capacity(self) -> Capacity | None:
        return self.capacity


def register(place: str = HERE, **fields: Any) -> str:
    defaults: dict[str, Any] = {"cores": 4, "memory_bytes": 8 * GIB, "cpus": (0, 1, 2, 3), "slots": 1}
    return register_host(Place(place=place, capacity=Capacity(**{**defaults, **fields})))  # type: ignore[arg-type]


def queue(**fields: Any) -> Run:
    return make_run(**{"cores": 1.0, "memory_bytes": GIB, "attempts_left": 3, **fields})


def claim(run: Run, here: str = HERE) -> tuple[Claim, Grant]:
    claimed = claim_with_grant(run.pk, here)
    assert not isinstance(claimed, str), claimed
    return claimed


def free_cores(place: str = HERE) -> float:
    return next(state.free_cores for state in read_ledger().states() if state.name == place)


@pytest.mark.django_db
def test_a_claim_writes_its_lease_and_the_next_run_that_lacks_room_is_told_why() -> None:
    register()
    first, second = queue(cores=3.0), queue(cores=2.0)
    claimed, grant = claim(first)
    lease = ResourceLease.objects.get()
    assert (lease.run_id, lease.fence, lease.cores, lease.cpus) == (first.pk, claimed.fence, 3.0, [0, 1, 2])
    assert (grant.memory_limit_bytes, lease.machine) == (GIB, this_machine())
    assert claim_with_grant(second.pk, HERE) == (
        f"waits for 2 of 4 cores: run {first.short_id} holds 3; first in the queue"
    )


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["ended", "taken back", "lost without a word", "fenced off"])
def test_whatever_takes_a_run_from_its_process_frees_what_it_held(how: str) -> None:
    register()
    run = queue(cores=4.0)
    claimed, _ = claim(run)
    assert free_cores() == 0
    if how == "ended":
        end_run(run.pk, claimed.fence, ExitClass.FAILED)
    elif how == "taken back":
        take_back_run(run.pk, claimed.fence, ExitClass.LOST, message="gone")
    elif how == "lost without a word":
        Run.objects.filter(pk=run.pk).update(state=RunState.FAILED)
    else:
        Run.objects.filter(pk=run.pk).update(fence=claimed.fence + 1, state=RunState.QUEUED)
    assert free_cores() == 4
    assert settle_leases() == 1
    assert ResourceLease.objects.get().released_at is not None
    assert settle_leases() == 0


@pytest.mark.django_db
def test_a_stale_holder_cannot_get_its_lease_back() -> None:
    register()
    run = queue(cores=4.0)
    stale, _ = claim(run)
    take_back_run(run.pk, stale.fence, ExitClass.LOST, message="gone")
    fresh, _ = claim(run)
    assert fresh.fence > stale.fence
    assert not end_run(run.pk, stale.fence, ExitClass.FAILED)
    assert free_cores() == 0
    assert ResourceLease.objects.filter(released_at=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_many_supervisors_in_the_same_instant_give_away_no_core_twice() -> None:
    register()
    runs = [queue() for _ in range(12)]
    barrier = threading.Barrier(6)
    answers: list[object] = []

    def try_all(offset: int) -> None:
        try:
            barrier.wait()
            for run in (*runs[offset:], *runs[:offset]):
                answers.append(claim_with_grant(run.pk, HERE))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=try_all, args=(2 * number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 72
    assert sum(not isinstance(answer, str) for answer in answers) == 4
    leases = list(ResourceLease.objects.all())
    assert len(leases) == Run.objects.filter(state=RunState.STARTING).count() == 4
    assert sorted(cpu for lease in leases for cpu in lease.cpus) == [0, 1, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_two_places_of_one_machine_in_the_same_instant_give_one_device_once() -> None:
    gpu = device(0)
    for place in ("a/1", "b/2"):
        register(place, gpus=(gpu,))
    runs = [queue(gpus=1, gpu_memory_bytes=GIB), queue(gpus=1, gpu_memory_bytes=GIB)]
    barrier = threading.Barrier(2)
    answers: list[object] = []

    def try_one(run: Run, place: str) -> None:
        try:
            barrier.wait()
            answers.append(claim_with_grant(run.pk, place))
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=try_one, args=(run, place)) for run, place in zip(runs, ("a/1", "b/2"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not isinstance(answer, str) for answer in answers) <= 1
    assert ResourceLease.objects.count() <= 1
    claimed = [claim_with_grant(run.pk, place) for run in runs for place in ("a/1", "b/2")]
    assert ResourceLease.objects.count() == 1, (answers, claimed)


@pytest.mark.django_db
def test_containers_of_one_machine_share_it_unless_they_have_limits_of_their_own() -> None:
    register("a/1")
    register("b/2")
    register("c/3", has_own_cores=True, has_own_memory=True)
    claim(queue(cores=3.0, memory_bytes=6 * GIB), "a/1")
    free = {state.name: (state.free_cores, state.free_memory_bytes // GIB) for state in read_ledger().states()}
    assert free == {"a/1": (1, 2), "b/2": (1, 2), "c/3": (4, 8)}


@pytest.mark.django_db
def test_a_machine_that_vanished_starts_nothing_and_its_runs_are_still_shown_until_their_leases_end() -> None:
    register()
    run = queue()
    ResourceHost.objects.update(seen_at=timezone.now() - timedelta(seconds=SILENT_S + 1))
    assert "none has been heard of lately" in str(claim_with_grant(run.pk, HERE))
    register()
    claim(run)


@pytest.mark.django_db
def test_a_run_holds_what_it_took_if_that_is_more_than_it_was_granted() -> None:
    register()
    run, other = queue(memory_bytes=None), queue(memory_bytes=5 * GIB)
    claim(run)
    RunUsage.objects.create(run=run, memory_peak_bytes=6 * GIB, measured_at=timezone.now())
    assert f"run {run.short_id} holds 6.0 GiB" in str(claim_with_grant(other.pk, HERE))


@pytest.mark.django_db
def test_a_settled_lease_keeps_what_its_attempt_took() -> None:
    register()
    run = queue()
    claimed, _ = claim(run)
    RunUsage.objects.create(run=run, memory_peak_bytes=3 * GIB, cpu_seconds=12.5, measured_at=timezone.now())
    end_run(run.pk, claimed.fence, ExitClass.FAILED)
    settle_leases()
    lease = ResourceLease.objects.get()
    assert (lease.memory_peak_bytes, lease.cpu_seconds) == (3 * GIB, 12.5)


@pytest.mark.django_db
def test_a_run_from_before_there_was_a_ledger_holds_its_machines_share() -> None:
    register(slots=2)
    old = queue(cores=None, memory_bytes=None, state=RunState.RUNNING, fence=3, host=HERE)
    assert free_cores() == 2
    end_run(old.pk, 3, ExitClass.FAILED)
    assert free_cores() == 4


@pytest.mark.django_db
def test_who_used_less_lately_goes_first_and_old_use_fades() -> None:
    register()
    now = timezone.now()
    heavy = queue(requested_by="heavy", state=RunState.SUCCEEDED)
    ResourceLease.objects.create(
        run=heavy, fence=1, attempt=1, host=HERE, requester="heavy", cores=4, memory_bytes=0, share=1.0,
        granted_at=now - timedelta(days=1, hours=1), released_at=now - timedelta(days=1),
    )  # fmt: skip
    assert used_shares(now)["heavy"] == pytest.approx(1800)  # an hour, halved after a day
    theirs = queue(requested_by="heavy", queued_at=now - timedelta(minutes=5))
    ours = queue(requested_by="light", queued_at=now)
    assert [one.run_id for one in decide_queue()] == [ours.pk, theirs.pk]


@pytest.mark.django_db
def test_a_run_that_was_let_past_is_noted_once_on_the_one_that_waits() -> None:
    register()
    claim(queue(cores=2.0))
    large = queue(cores=4.0, queued_at=timezone.now() - timedelta(minutes=5))
    claim(queue(cores=1.0))
    passed_at = Run.objects.get(pk=large.pk).passed_at
    assert passed_at is not None
    claim(queue(cores=1.0))
    assert Run.objects.get(pk=large.pk).passed_at == passed_at


def report(*holdings: Holding, replica: str = "r1", expires_s: float = 60.0, machine: str = "") -> int:
    return keep_holdings(
        ReportHoldings(
            replica=replica, machine=machine or this_machine(), host=HERE, expires_s=expires_s, holdings=holdings
        )
    )


@pytest.mark.django_db
def test_what_serving_holds_is_not_given_to_a_run_and_says_its_name() -> None:
    register()
    report(Holding(endpoint="digits", model="digits", version=3, memory_bytes=6 * GIB))
    reason = str(claim_with_grant(queue(memory_bytes=4 * GIB).pk, HERE))
    assert reason == (
        "waits for 4.0 GiB of 8.0 GiB memory: endpoint 'digits' version 3 holds 6.0 GiB; first in the queue"
    )
    report(Holding(endpoint="digits", model="digits", version=4, memory_bytes=GIB))  # replaces all it said before
    assert [one.version for one in ServingHolding.objects.all()] == [4]
    assert read_ledger().states()[0].free_memory_bytes == 7 * GIB
    assert report() == 0
    assert not ServingHolding.objects.exists()


@pytest.mark.django_db
def test_what_a_killed_serving_process_held_is_free_when_its_word_expires() -> None:
    register()
    report(Holding(memory_bytes=6 * GIB))
    ServingHolding.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert read_ledger().states()[0].free_memory_bytes == 8 * GIB


@pytest.mark.django_db
def test_serving_on_another_machine_takes_nothing_here() -> None:
    register()
    report(Holding(memory_bytes=6 * GIB), machine="elsewhere")
    assert read_ledger().states()[0].free_memory_bytes == 8 * GIB


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"expires_s": 0.0}, "expires_s must be above 0"),
        ({"replica": ""}, "replica must have 1 to 200 characters, not 0"),
    ],
)
def test_a_report_that_cannot_be_changes_nothing(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        report(Holding(memory_bytes=1), **fields)
    with pytest.raises(InvalidInputError, match="each version of an endpoint once"):
        report(Holding(), Holding())
    with pytest.raises(InvalidInputError, match="not -1"):
        report(Holding(memory_bytes=-1))
    assert not ServingHolding.objects.exists()


@pytest.mark.parametrize(
    ("text", "size"), [("512M", 512 * 2**20), ("3.5G", 3 * GIB + GIB // 2), ("1GiB", GIB), ("77", 77), ("2 kb", 2048)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1G", "1X", "1G2", "nan"])
def test_what_is_no_size_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"as in 512M or 3.5G, not '"):
        parse_size(text)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cores": 0.0}, "cores must be from 0.01"),
        ({"cores": float("nan")}, "not nan"),
        ({"cores": float("inf")}, "not inf"),
        ({"memory_bytes": 5}, "64 MiB"),
        ({"memory_bytes": 2**70}, str(2**70)),
        ({"gpus": -1}, "gpus must be from 0"),
        ({"priority": 101}, "priority must be from -100 to 100, not 101"),
        ({"cores": 99_999.0}, "it asks for 99999 cores, and the largest machine has"),
        ({"memory_bytes": 2**50}, r"it asks for 1048576.0 GiB of memory, and the largest machine has"),
        ({"gpus": 3}, "it asks for 3 GPUs, and the largest machine has 0"),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_the_numbers(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        check_resources(ResourceOrder(**fields))


@pytest.mark.django_db
def test_memory_is_expected_as_runs_like_it_took_on_the_same_data_if_there_are_any() -> None:
    for data_uri, peak in (("a", GIB), ("a", 2 * GIB), ("b", 7 * GIB)):
        run = make_run(data_uri=data_uri, state=RunState.SUCCEEDED)
        RunUsage.objects.create(run=run, memory_peak_bytes=peak)
    recipe = make_run().recipe
    assert estimate(recipe, "a").memory_bytes == 2 * GIB * 5 // 4
    assert estimate(recipe, "new").memory_bytes == 7 * GIB * 5 // 4
    assert estimate("another", "a").memory_bytes == 0


@pytest.mark.django_db
def test_a_claim_without_the_ledger_still_counts() -> None:
    register()
    run = queue(host=HERE)
    assert claim_run(run.pk) is not None
    Run.objects.filter(pk=run.pk).update(host=HERE)
    assert free_cores() == 3
