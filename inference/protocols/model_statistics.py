"""V2's statistics extension: what was counted of each version, as Triton lays it out.

Source: triton-inference-server/server, docs/protocol/extension_statistics.md. Fields that are not
measured here (queue and compute times, caches, batches) are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inference.protocols.json_body import dump
from inference.protocols.messages import Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionStatistics:
    """Counts of one version in one process since it began to serve. Times are sums, in nanoseconds.

    `inferences` counts rows that the engine was given, `executions` its calls.
    """

    model: str
    version: int
    last_inference_ms: int = 0  # since the epoch; 0: none yet
    inferences: int = 0
    executions: int = 0
    succeeded: int = 0
    succeeded_ns: int = 0
    failed: int = 0
    failed_ns: int = 0


def encode_statistics(counted: Iterable[VersionStatistics]) -> Encoded:
    """Return the statistics of some versions."""
    return Encoded(dump({"model_stats": [_model_stats(item) for item in counted]}))


def _model_stats(item: VersionStatistics) -> dict[str, Any]:
    return {
        "name": item.model,
        "version": str(item.version),
        "last_inference": item.last_inference_ms,
        "inference_count": item.inferences,
        "execution_count": item.executions,
        "inference_stats": {
            "success": {"count": item.succeeded, "ns": item.succeeded_ns},
            "fail": {"count": item.failed, "ns": item.failed_ns},
        },
    }
