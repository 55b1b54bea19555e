"""Endpoints as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from aiplatform.contracts.inference import EndpointInfo
from inference.models import EndpointRevision
from inference.panel import health_state
from inference.traffic import describe_traffic, from_plain


def endpoint_table(endpoints: Sequence[EndpointInfo]) -> str:
    """Return a table of endpoints, one a line."""
    if not endpoints:
        return "no endpoints"
    rows = [("ENDPOINT", "STATE", "MODEL", "GENERATION", "TRAFFIC")]
    rows += [(e.name, health_state(e), e.model, str(e.generation), describe_traffic(e.traffic)) for e in endpoints]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(map(str.ljust, row, [*widths, 0])) for row in rows)


def endpoint_lines(endpoint: EndpointInfo) -> list[str]:
    """Return what one endpoint is and does."""
    lines = [
        f"endpoint:   {endpoint.name}",
        f"state:      {health_state(endpoint)}",
        f"model:      {endpoint.model}",
        f"generation: {endpoint.generation}",
        f"traffic:    {describe_traffic(endpoint.traffic)}",
        f"engine:     {endpoint.engine + ' (pinned)' if endpoint.engine else 'none pinned'}",
        *([f"off:        {endpoint.off_reason}"] if endpoint.is_off else []),
        *([f"frozen:     {endpoint.frozen_reason}"] if endpoint.is_frozen else []),
        *([f"shadow:     version {endpoint.shadow}"] if endpoint.shadow else []),
        "replicas:",
    ]
    for replica in endpoint.replicas:
        message = f" ({replica.message})" if replica.message else ""
        engine = f" on {replica.engine}" if replica.engine else ""
        lines.append(f"  {replica.replica}  version {replica.version}  {replica.state.value}{engine}{message}")
    return lines if endpoint.replicas else [*lines, "  none"]


def revision_line(revision: EndpointRevision) -> str:
    """Return one change of the history."""
    traffic = describe_traffic(from_plain(revision.traffic)) or "nothing"
    why = f": {revision.reason}" if revision.reason else ""
    engine = f" on {revision.engine}" if revision.engine else ""
    when = revision.created_at.strftime("%Y-%m-%d %H:%M:%S")
    return f"#{revision.generation} {when} {revision.kind} {revision.model} {traffic}{engine} by {revision.actor}{why}"
