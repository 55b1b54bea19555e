"""What serving processes say that they hold: it goes before what trainings ask for, and expires unless said again."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from aiplatform.contracts.training import Holding, ReportHoldings
from aiplatform.errors import InvalidInputError
from training.models import ServingHolding

LONGEST_S = 3600.0
_MOST = 1000  # of one process


def keep_holdings(report: ReportHoldings) -> int:
    """Replace what is known of a serving process; return how many holdings it has.

    Raises: InvalidInputError naming the rule and the value; then nothing is changed.
    """
    _check(report)
    rows = [_row(report, one) for one in report.holdings]
    with transaction.atomic():
        kept = [(row.endpoint, row.version) for row in rows]
        for known in ServingHolding.objects.filter(replica=report.replica):
            if (known.endpoint, known.version) not in kept:
                known.delete()
        ServingHolding.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["replica", "endpoint", "version"],
            update_fields=[
                "host", "machine", "model", "memory_bytes", "memory_peak_bytes", "gpus", "reported_at", "expires_at",
            ],
        )  # fmt: skip
    return len(rows)


def _check(report: ReportHoldings) -> None:
    if not report.replica or len(report.replica) > 200:
        raise InvalidInputError(f"replica must have 1 to 200 characters, not {len(report.replica)}")
    if not 0 < report.expires_s <= LONGEST_S:
        raise InvalidInputError(f"expires_s must be above 0 and at most {LONGEST_S:g}, not {report.expires_s:g}")
    if len(report.holdings) > _MOST:
        raise InvalidInputError(f"a process reports at most {_MOST} holdings, not {len(report.holdings)}")
    names = [(one.endpoint, one.version) for one in report.holdings]
    if len(set(names)) < len(names):
        raise InvalidInputError("a process reports each version of an endpoint once")
    for one in report.holdings:
        amounts = (one.memory_bytes, one.memory_peak_bytes, *one.gpus.values())
        if min(amounts) < 0:
            raise InvalidInputError(f"what is held must be 0 bytes or more, not {min(amounts)}")


def _row(report: ReportHoldings, one: Holding) -> ServingHolding:
    now = timezone.now()
    return ServingHolding(
        replica=report.replica, host=report.host[:200], machine=report.machine[:64], endpoint=one.endpoint[:63],
        model=one.model[:63], version=one.version, memory_bytes=one.memory_bytes,
        memory_peak_bytes=one.memory_peak_bytes, gpus=dict(one.gpus), reported_at=now,
        expires_at=now + timedelta(seconds=report.expires_s),
    )  # fmt: skip
