"""Which endpoint versions a rule watches, and when it stops watching one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from monitoring.alerts.observing import zero_is_data
from monitoring.alerts.vocabulary import EVERY_ENDPOINT, NoDataPolicy, RuleKind, VersionScope
from monitoring.models.alerts import AlertRule

EndpointVersion = tuple[str, int]
# The versions of an endpoint that have traffic by its desired state; None: nobody can tell now.
ServingVersions = Callable[[str], frozenset[int] | None]


def list_targets(
    rule: AlertRule, active: Iterable[EndpointVersion], missed: Iterable[EndpointVersion], serving: ServingVersions
) -> list[EndpointVersion]:
    """Return what a rule watches now.

    `active` are the versions with recent predictions; `missed` those that had some within days, of which a
    rule that looks for missing traffic watches the ones that should still have some.
    """
    if rule.version_scope == VersionScope.ONE:
        return [(rule.endpoint, rule.version or 0)]
    found = {target for target in active if is_in_scope(rule, target)}
    if rule.version_scope == VersionScope.SERVING:
        found = {(endpoint, version) for endpoint, version in found if _is_serving(endpoint, version, serving)}
    if minds_silence(rule):
        found |= {(name, version) for name, version in missed
                  if (name, version) not in found  # else nobody need be asked
                  and is_in_scope(rule, (name, version)) and version in (serving(name) or ())}  # fmt: skip
        if rule.endpoint != EVERY_ENDPOINT:
            found |= {(rule.endpoint, version) for version in serving(rule.endpoint) or ()}
    return sorted(found)


def minds_silence(rule: AlertRule) -> bool:
    """Say whether no traffic at all can be what a rule looks for."""
    if rule.kind == RuleKind.ABSENCE or rule.no_data == NoDataPolicy.ALERT:
        return True
    return zero_is_data(rule.metric)


def is_in_scope(rule: AlertRule, target: EndpointVersion) -> bool:
    """Say whether the rule's own words cover an endpoint version, whatever its traffic."""
    endpoint, version = target
    if rule.endpoint not in (EVERY_ENDPOINT, endpoint):
        return False
    return rule.version_scope != VersionScope.ONE or rule.version == version


def reason_to_retire(rule: AlertRule, target: EndpointVersion, serving: ServingVersions) -> str:
    """Return why a version that shows no predictions is no longer watched; '' if it still is."""
    endpoint, version = target
    if not is_in_scope(rule, target):
        return "the rule no longer watches this version"
    if rule.version_scope == VersionScope.ONE or _is_serving(endpoint, version, serving):
        return ""
    return f"version {version} of {endpoint} has no traffic any more"


def _is_serving(endpoint: str, version: int, serving: ServingVersions) -> bool:
    versions: frozenset[int] | Sequence[int] | None = serving(endpoint)
    return versions is None or version in versions
