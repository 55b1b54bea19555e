"""Every number that a rule, a page or a metric may ask for, measured from windows on demand.

One module a subject, each with a catalogue of its metrics; here they are one.
"""

from __future__ import annotations

from datetime import datetime

from aiplatform.errors import InvalidInputError
from monitoring.readings import Readings
from monitoring.selectors import Period
from monitoring.statistics.changes import CHANGES
from monitoring.statistics.drift import DRIFT
from monitoring.statistics.estimated import ESTIMATED
from monitoring.statistics.features import FEATURES
from monitoring.statistics.quality import QUALITY
from monitoring.statistics.question import Measurement, MetricInfo, Question
from monitoring.statistics.realised import REALISED
from monitoring.statistics.traffic import TRAFFIC
from monitoring.statistics.truth import TRUTH

__all__ = ["METRICS", "Measurement", "MetricInfo", "measure"]

_CATALOGUE = {**TRAFFIC, **TRUTH, **DRIFT, **FEATURES, **REALISED, **ESTIMATED, **QUALITY, **CHANGES}
METRICS: dict[str, MetricInfo] = {name: info for name, (info, _) in _CATALOGUE.items()}


def measure(
    metric: str,
    *,
    endpoint: str,
    version: int | None,
    window_s: int,
    now: datetime,
    feature: str | None = None,
    readings: Readings | None = None,
) -> Measurement:
    """Return one metric over the last `window_s` seconds, all versions together if `version` is None.

    Drift of several versions is that of the worst, since each has a baseline of its own. Who measures much
    at once gives the same `readings` to each call.
    Raises: InvalidInputError if there is no such metric.
    """
    if metric not in METRICS:
        raise InvalidInputError(f"no metric is named '{metric}'; there are {', '.join(sorted(METRICS))}")
    _, answer = _CATALOGUE[metric]
    period = Period.last(window_s, now=now)
    return answer(Question(metric, endpoint, version, period, feature, readings or Readings()))
