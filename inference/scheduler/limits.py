"""The bounds of one version's queue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """How much may wait and how much runs at once; rows are counted, not requests.

    `max_queue_bytes` bounds the inputs that wait. `max_queue_delay_ms` is how long a batch that is
    not full may wait for more rows; 0 runs what there is as soon as the engine is free.
    `inline_ms` is how long an engine call may hold the event loop; 0 keeps all calls off it.
    """

    max_batch_rows: int = 64
    max_queue_rows: int = 4096
    max_queue_bytes: int = 256 * 1024 * 1024
    max_queue_delay_ms: float = 0.0
    inline_ms: float = 0.0
