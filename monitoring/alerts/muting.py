"""Why nobody is told of an alert now: a silence, another alert that says enough, quiet hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitoring.alerts.matchers import all_match
from monitoring.alerts.quiet import find_quiet
from monitoring.alerts.vocabulary import STANDING_STATES, QuietEffect
from monitoring.models.alerts import Alert, Inhibition, QuietHours, Silence


@dataclass(frozen=True)
class Source:
    """An alert that fires, as inhibitions see it."""

    alert_id: int
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Muting:
    """All that mutes at one moment; read once, asked for many alerts."""

    now: datetime
    silences: Sequence[Silence]
    inhibitions: Sequence[Inhibition]
    sources: Sequence[Source]

    @classmethod
    def read(cls, now: datetime) -> Muting:
        """Read what holds now."""
        inhibitions = list(Inhibition.objects.filter(is_enabled=True))
        standing = Alert.objects.filter(state__in=STANDING_STATES).values_list("pk", "labels") if inhibitions else ()
        return cls(
            now=now,
            silences=list(Silence.objects.filter(starts_at__lte=now, ends_at__gt=now)),
            inhibitions=inhibitions,
            sources=[Source(pk, labels) for pk, labels in standing],
        )

    def reason(self, alert: Alert, quiet_hours: Iterable[QuietHours] = ()) -> str:
        """Return why nobody is told of the alert; '' if they are."""
        silence = next((one for one in self.silences if all_match(one.matchers, alert.labels)), None)
        if silence:
            return f"silence {silence.pk} of {silence.created_by}: {silence.reason}"[:200]
        inhibited = self._inhibited(alert)
        if inhibited:
            return inhibited[:200]
        quiet = find_quiet(quiet_hours, QuietEffect.MUTE, self.now)
        return f"quiet hours '{quiet.name}'" if quiet else ""

    def _inhibited(self, alert: Alert) -> str:
        for inhibition in self.inhibitions:
            source = find_inhibitor(inhibition, alert.pk, alert.labels, self.sources)
            if source:
                return f"inhibited by alert {source.alert_id}: {inhibition.name}"
        return ""


def find_inhibitor(
    inhibition: Inhibition, alert_id: int, labels: Mapping[str, str], sources: Iterable[Source]
) -> Source | None:
    """Return the alert that inhibits this one, if any.

    As in Alertmanager: labels missing on both sides are equal; an alert never inhibits itself; and one
    that matches both sides is not inhibited by another of which the same is true.
    """
    if not all_match(inhibition.target_matchers, labels):
        return None
    is_source_too = all_match(inhibition.source_matchers, labels)
    for source in sources:
        if source.alert_id == alert_id or not all_match(inhibition.source_matchers, source.labels):
            continue
        if is_source_too and all_match(inhibition.target_matchers, source.labels):
            continue
        if all(source.labels.get(name, "") == labels.get(name, "") for name in inhibition.equal):
            return source
    return None
