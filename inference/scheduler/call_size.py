"""How many rows one engine call is best given, by what calls were measured to take.

More rows in a call spare its fixed costs; on a processor they also leave its caches. So a call may take longer by the
row with 32 rows than with 8, and then larger requests are cut and fewer rows wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping

LEAST_ROWS = 8  # a call of fewer is never better than one that shares
OWN_MS = 0.06  # what the platform itself does for each call: taking rows, joining them, handing answers over
WORTH_SHARE = 0.1  # of the time by the row that must be saved, or the larger call is taken: timings are not exact


def best_call_rows(call_ms: Mapping[int, float], max_rows: int) -> int:
    """Return the most rows that one call is given; `call_ms` is milliseconds by rows in a call.

    Where the greatest call that was measured is the best, larger ones may be better still: `max_rows`.
    """
    by_row = {rows: (ms + OWN_MS) / rows for rows, ms in call_ms.items() if LEAST_ROWS <= rows <= max_rows}
    if not by_row:
        return max_rows
    most = max(by_row)
    best = min(by_row, key=lambda rows: by_row[rows])
    return best if by_row[best] < by_row[most] * (1 - WORTH_SHARE) else max_rows
