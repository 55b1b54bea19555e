"""What alerting tells the kernel: its jobs, its panel, its checks; and where its parts come together."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.checks import register
from django.db.models.signals import post_migrate
from django.utils import timezone

from aiplatform.checks import SETTINGS
from aiplatform.errors import NotFoundError, PlatformError
from aiplatform.roles import MONITORING
from aiplatform.services import inference_client
from aiplatform.wiring import Job, Panel, wiring
from monitoring.alerts.checks import check_alert_settings

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from monitoring.alerts.evaluation import Evaluator
    from monitoring.alerts.trial import Past

HOUR_S = 3600.0


def wire_alerts() -> None:
    """Announce alerting to the kernel; called once, when the app is ready."""
    from monitoring.alerts.defaults import make_default_rules_after_migrate
    from monitoring.alerts.panel import count_firing, firing_panel

    register(check_alert_settings, SETTINGS)
    post_migrate.connect(
        make_default_rules_after_migrate, sender=apps.get_app_config("monitoring"), dispatch_uid="default_alert_rules"
    )
    wiring.add_panel(
        Panel(name="alerts", order=0, template="monitoring/alerts/firing_panel.html", context=firing_panel)
    )
    wiring.add_badge("monitoring.alert", count_firing)
    if MONITORING in settings.ROLES:
        look_s = min(1.0, settings.ALERT_INTERVAL_S / 2)  # how late after a slot's end its evaluation may begin
        wiring.add_job(Job(name="alerts-evaluate", interval_s=look_s, run=evaluate_rules, on_stop=release_lease))
        soon_s = settings.NOTIFICATION_INTERVAL_S
        wiring.add_job(Job(name="alerts-group", interval_s=soon_s, run=tell_groups, waiting=groups_to_tell))
        wiring.add_job(Job(name="alerts-push", interval_s=soon_s, run=push_alerts, waiting=channels_to_push_to))
        wiring.add_job(
            Job(name="alerts-notify", interval_s=soon_s, run=send_notifications, waiting=notifications_to_send)
        )
        wiring.add_job(Job(name="alerts-act", interval_s=soon_s, run=run_actions, waiting=actions_to_run))
        wiring.add_job(Job(name="alerts-tidy", interval_s=HOUR_S, run=tidy_alerts))


@functools.cache
def evaluator() -> Evaluator:
    """Return this process' evaluator: it remembers the lease, and the slot that it evaluated last."""
    from monitoring.alerts.evaluation import Evaluator
    from monitoring.alerts.lease import LeaseHolder
    from monitoring.selectors import list_active_versions
    from monitoring.statistics import measure

    interval_s = settings.ALERT_INTERVAL_S
    return Evaluator(
        measure=measure,
        list_active_versions=list_active_versions,
        serving_versions=serving_versions,
        clock=timezone.now,
        stale_after_s=max(60.0, 6 * interval_s),
        slot_s=interval_s,
        lease=LeaseHolder(name="alert rules", duration_s=max(15.0, 3 * interval_s)),
    )


def past() -> Past:
    """Return where trials of rules read."""
    from monitoring.alerts.trial import Past
    from monitoring.alerts.trial_windows import list_window_starts
    from monitoring.selectors import list_active_versions
    from monitoring.statistics import measure

    return Past(measure=measure, list_active_versions=list_active_versions, window_starts=list_window_starts)


def evaluate_rules() -> None:
    """Evaluate all rules for the present slot, if this process holds the lease and did not do so already."""
    evaluator().run()


def release_lease() -> None:
    """Let another process take over at once."""
    holder = evaluator().lease
    if holder is not None:
        holder.release()


def tell_groups() -> None:
    """Tell what changed in groups of alerts, and escalate."""
    from monitoring.alerts.groups import flush_due_groups

    flush_due_groups(clock=timezone.now)


def groups_to_tell() -> QuerySet[Any]:
    """Return the groups that `tell_groups` looks at."""
    from monitoring.alerts.groups import list_open_groups

    return list_open_groups()


def push_alerts() -> None:
    """Bring Alertmanager channels up to date."""
    from monitoring.alerts.alertmanager import post_alerts
    from monitoring.alerts.notifications import Backoff
    from monitoring.alerts.pushing import push_due_alerts

    backoff = Backoff(attempts=settings.NOTIFICATION_ATTEMPTS, longest_s=60.0)
    push_due_alerts(post=post_alerts, clock=timezone.now, backoff=backoff)


def channels_to_push_to() -> QuerySet[Any]:
    """Return the channels that `push_alerts` may have something for."""
    from monitoring.alerts.pushing import list_channels_to_update

    return list_channels_to_update()


def send_notifications() -> None:
    """Send the notifications that are due."""
    from monitoring.alerts.channels import deliver
    from monitoring.alerts.notifications import Backoff, send_due_notifications

    backoff = Backoff(attempts=settings.NOTIFICATION_ATTEMPTS)
    send_due_notifications(deliver=deliver, clock=timezone.now, backoff=backoff)


def notifications_to_send() -> QuerySet[Any]:
    """Return the notifications that `send_notifications` sends, now or later."""
    from monitoring.alerts.notifications import list_unfinished_notifications

    return list_unfinished_notifications()


def run_actions() -> None:
    """Carry out the actions that are due."""
    from monitoring.actions.performers import make_performers
    from monitoring.alerts.actions import run_due_actions
    from monitoring.alerts.notifications import Backoff

    performers = make_performers(inference_client(), timezone.now)
    run_due_actions(performers=performers, clock=timezone.now, backoff=Backoff(attempts=6, first_s=2.0, longest_s=60.0))


def actions_to_run() -> QuerySet[Any]:
    """Return the actions that `run_actions` carries out, now or later."""
    from monitoring.alerts.actions import list_unfinished_actions

    return list_unfinished_actions()


def tidy_alerts() -> None:
    """Delete alerts that were resolved long ago."""
    from monitoring.alerts.retention import delete_old_alerts

    delete_old_alerts(now=timezone.now(), keep_days=settings.ALERT_RETENTION_DAYS)


def serving_versions(endpoint: str) -> frozenset[int] | None:
    """Return the versions of an endpoint that have traffic; None if inference cannot be asked."""
    try:
        info = inference_client().get_endpoint(endpoint)
    except NotFoundError:
        return frozenset()
    except PlatformError:
        return None
    return frozenset(share.version for share in info.traffic if share.weight > 0)
