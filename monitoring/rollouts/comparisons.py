"""Takes what shadows were found to answer, each batch once, and adds it up; apart from the live windows."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from aiplatform.contracts.monitoring import IngestReceipt, RecordComparisons, ShadowComparison
from aiplatform.latency_buckets import add_counts
from monitoring.models.rollouts import ShadowCount
from monitoring.rollouts.gates.shadow import Shadowed

_TIMES = ("since_s", "until_s", "replica")


def record_comparisons(order: RecordComparisons) -> IngestReceipt:
    """Keep comparisons; one that is known is counted no second time."""
    known = set(
        ShadowCount.objects.filter(batch_id__in=[found.batch_id for found in order.comparisons]).values_list(
            "batch_id", flat=True
        )
    )
    new = [found for found in order.comparisons if found.batch_id not in known]
    ShadowCount.objects.bulk_create([_row(found) for found in new], ignore_conflicts=True)
    return IngestReceipt(accepted=len(new), duplicates=len(order.comparisons) - len(new))


def add_up_shadow(endpoint: str, champion: int, challenger: int, *, since: datetime) -> Shadowed:
    """Return all that was counted of a pair since a time."""
    rows = ShadowCount.objects.filter(endpoint=endpoint, champion=champion, challenger=challenger, since__gte=since)
    total = Shadowed()
    for row in rows.order_by("since").iterator():
        total = Shadowed(
            requests=total.requests + row.requests,
            errors=total.errors + row.errors,
            dropped=total.dropped + row.dropped,
            labelled_rows=total.labelled_rows + row.labelled_rows,
            agreed_rows=total.agreed_rows + row.agreed_rows,
            valued_rows=total.valued_rows + row.valued_rows,
            difference_sum=total.difference_sum + row.difference_sum,
            champion_latencies=tuple(add_counts(total.champion_latencies, row.champion_latencies)),
            challenger_latencies=tuple(add_counts(total.challenger_latencies, row.challenger_latencies)),
            last_error=row.last_error or total.last_error,
        )
    return total


def _row(found: ShadowComparison) -> ShadowCount:
    values = {name: value for name, value in asdict(found).items() if name not in _TIMES}
    values["champion_latencies"] = list(found.champion_latencies)
    values["challenger_latencies"] = list(found.challenger_latencies)
    return ShadowCount(**values, since=_time(found.since_s), until=_time(found.until_s))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
