"""The pages and the command of alerts."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from django.urls import reverse

from aiplatform.console.home import draw_panel
from aiplatform.wiring import wiring
from monitoring.alerts.durations import duration_text
from monitoring.ingestion import record_predictions
from monitoring.models.alerts import AlertGroup, AlertRule, Channel, Notification, Route, Silence
from tests.monitoring.alerts.world import World, make_channel, make_rule, only_alert
from tests.monitoring.factories import make_batch, now


@pytest.fixture
def console(world: World, admin_client: Client) -> Client:
    """Return a logged-in administrator's browser, with one alert firing."""
    make_channel()
    make_rule()
    world.tick(value=0.2)
    return admin_client


def page_of(name: str, *args: int) -> str:
    """Return the address of a page of monitoring's admin."""
    return reverse(f"admin:monitoring_{name}", args=args)


def text_of(console: Client, url: str) -> str:
    """Return a page that must be there."""
    response = console.get(url)
    assert response.status_code == 200, url
    return response.content.decode()


def test_the_list_shows_what_was_measured(console: Client) -> None:
    page = text_of(console, page_of("alert_changelist"))
    assert "error_rate 0.2 (above 0.05)" in page
    assert "mnist v1" in page


def test_the_sidebar_counts_what_fires_and_every_list_says_its_name(console: Client) -> None:
    page = text_of(console, page_of("alert_changelist"))
    assert re.search(r"<title>\s*Alerts \|", page)
    assert len(re.findall(r"min-w-\[18px\][^>]*>\s*1\s*</span>", page)) == 2, "beside the table and its group"
    for name in ("rollout", "automationhold", "silence", "alertrule"):
        assert "Select" not in text_of(console, page_of(f"{name}_changelist")).split("</title>")[0]


def test_an_alert_tells_its_story_with_a_chart(console: Client) -> None:
    page = text_of(console, page_of("alert_change", only_alert().pk))
    buttons = ("Acknowledge", "Silence", "Resolve")
    for part in ("Timeline", "error_rate is 0.2, above 0.05", "<console-chart", "Who was told", *buttons):
        assert part in page


def test_acknowledging_asks_first(console: Client) -> None:
    url = page_of("alert_acknowledge", only_alert().pk)
    assert "What will change" in text_of(console, url)
    assert not only_alert().is_acknowledged
    response = console.post(url, {"note": "on it"}, follow=True)
    assert "The alert is acknowledged." in response.content.decode()
    assert only_alert().acknowledged_by == "admin"


def test_silencing_asks_for_how_long_and_why(console: Client) -> None:
    url = page_of("alert_silence", only_alert().pk)
    assert console.post(url, {"duration_s": "3600", "reason": ""}).status_code == 200
    assert not Silence.objects.exists()
    console.post(url, {"duration_s": "3600", "reason": "known"})
    assert only_alert().is_silenced


def test_resolving_asks_first_and_a_resolved_alert_has_no_buttons(console: Client) -> None:
    url = page_of("alert_resolve", only_alert().pk)
    text_of(console, url)
    assert only_alert().state == "firing"
    console.post(url, {"note": ""})
    assert only_alert().state == "resolved"
    assert url not in text_of(console, page_of("alert_change", only_alert().pk))
    assert "is resolved already" in console.post(url, {"note": ""}).content.decode()


def test_a_person_without_the_permission_sees_no_buttons(console: Client, django_user_model: Any) -> None:
    from django.contrib.auth.models import Permission

    reader = django_user_model.objects.create_user("reader", password="a long password", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_alert"))
    console.force_login(reader)
    assert page_of("alert_resolve", only_alert().pk) not in text_of(console, page_of("alert_change", only_alert().pk))
    assert console.post(page_of("alert_resolve", only_alert().pk), {"note": ""}).status_code == 403


def test_a_rule_is_made_and_shows_what_it_watches(console: Client, world: World) -> None:
    rule = only_alert().rule
    assert rule
    assert "error_rate is 0.2, above 0.05" in text_of(console, page_of("alertrule_change", rule.pk))
    fields = {
        "name": "new", "is_enabled": "on", "severity": "info", "summary": "", "endpoint": "*", "version_scope": "any",
        "version": "", "metric": "accuracy", "feature": "", "comparison": "lt", "threshold": "0.9", "window_s": "300",
        "minimum_samples": "1", "for_s": "0", "keep_firing_for_s": "0", "no_data": "keep", "on_error": "keep",
        "kind": "threshold", "change_unit": "absolute", "reference": "earlier", "offset_s": "86400",
        "action": "none", "action_cooldown_s": "0", "action_limit_per_day": "3", "labels": "{}", "annotations": "{}",
    }  # fmt: skip
    assert console.post(page_of("alertrule_add"), fields).status_code == 302
    refused = console.post(page_of("alertrule_add"), {**fields, "name": "n", "endpoint": "A B"})
    assert "must be * or a name" in refused.content.decode()
    text_of(console, page_of("alertrule_changelist"))


def test_times_of_a_rule_are_typed_and_shown_as_people_say_them(console: Client) -> None:
    fields = {
        "name": "patient", "is_enabled": "on", "severity": "info", "endpoint": "*", "version_scope": "any",
        "metric": "accuracy", "comparison": "lt", "threshold": "0.9", "window_s": "1 h 30 min", "minimum_samples": "1",
        "for_s": "10 min", "keep_firing_for_s": "0", "no_data": "keep", "on_error": "keep", "kind": "threshold",
        "change_unit": "absolute", "reference": "earlier", "offset_s": "7 d", "action": "none",
        "action_cooldown_s": "1h", "action_limit_per_day": "3", "labels": "{}", "annotations": "{}",
    }  # fmt: skip
    assert console.post(page_of("alertrule_add"), fields).status_code == 302
    made = AlertRule.objects.get(name="patient")
    times = (made.window_s, made.for_s, made.keep_firing_for_s, made.offset_s, made.action_cooldown_s)
    assert times == (5400, 600, 0, 604_800, 3600)
    page = text_of(console, page_of("alertrule_change", made.pk))
    assert 'value="90 min"' in page and 'value="7 d"' in page
    refused = console.post(page_of("alertrule_add"), {**fields, "name": "n", "window_s": "a while"}).content.decode()
    assert "a duration is written like 90 s, 5 min" in refused and "a while" in refused


def test_a_channel_keeps_its_address_and_never_shows_it(console: Client) -> None:
    address = "json://user:s3cret@127.0.0.1:9/x"
    fields = {"name": "hook", "kind": "apprise", "url": address, "is_default": "on", "is_enabled": "on"}
    assert console.post(page_of("channel_add"), fields).status_code == 302
    channel = Channel.objects.get(name="hook")
    page = text_of(console, page_of("channel_change", channel.pk))
    assert "s3cret" not in page + text_of(console, page_of("channel_changelist"))
    assert "user:****@127.0.0.1" in page
    renamed = {**fields, "name": "renamed", "url": ""}
    assert console.post(page_of("channel_change", channel.pk), renamed).status_code == 302
    channel.refresh_from_db()
    assert (channel.name, channel.url) == ("renamed", "json://user:s3cret@127.0.0.1:9/x")
    refused = console.post(page_of("channel_add"), {**fields, "name": "b", "url": "x://y"})
    assert "not one that Apprise can use" in refused.content.decode()
    url = page_of("channel_test", channel.pk)
    assert "A test message goes to" in text_of(console, url)
    assert "Not delivered" in console.post(url, follow=True).content.decode()


def test_a_failed_notification_is_tried_again(console: Client) -> None:
    Notification.objects.update(state="failed", last_error="mail server is away")
    notification = Notification.objects.get()
    assert "mail server is away" in text_of(console, page_of("notification_changelist"))
    assert "mail server is away" in text_of(console, page_of("notification_change", notification.pk))
    console.post(page_of("notification_retry", notification.pk))
    assert Notification.objects.get().state == "pending"


def test_a_silence_is_made_in_the_persons_name_and_ended(console: Client) -> None:
    fields = {
        "matchers": "endpoint=mnist\nseverity!=info", "starts_at_0": "2026-01-01", "starts_at_1": "00:00:00",
        "ends_at_0": "2199-01-01", "ends_at_1": "00:00:00", "reason": "repair", "holds_actions": "on",
    }  # fmt: skip
    assert console.post(page_of("silence_add"), fields).status_code == 302
    silence = Silence.objects.get()
    assert (silence.created_by, silence.matchers) == ("admin", ['endpoint="mnist"', 'severity!="info"'])
    refused = console.post(page_of("silence_add"), {**fields, "matchers": "endpoint"})
    assert "a matcher is name=" in refused.content.decode()
    assert only_alert().is_silenced
    text_of(console, page_of("silence_changelist"))
    console.post(page_of("silence_end", silence.pk))
    assert not only_alert().is_silenced


def test_the_home_page_shows_what_is_firing_first(console: Client, rf: RequestFactory) -> None:
    panel = min(wiring.panels, key=lambda panel: panel.order)
    assert panel.name == "alerts"
    drawn = draw_panel(rf.get("/admin/"), panel)
    assert "errors" in drawn
    assert "error_rate is 0.2, above 0.05" in drawn


def run(*arguments: str) -> str:
    """Return what `manage.py alerts` prints."""
    out = StringIO()
    call_command("alerts", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_lists_and_handles_alerts(console: Client) -> None:
    alert = only_alert()
    assert "errors" in run("list", "--state", "firing")
    assert json.loads(run("list", "--json"))[0]["value"] == 0.2
    assert run("ack", str(alert.pk), "--by", "ada", "--note", "seen") == "acknowledged: errors: mnist version 1\n"
    assert only_alert().acknowledged_by == "ada"
    run("silence", "endpoint=mnist", "alertname=errors", "--minutes", "5", "--reason", "known", "--by", "ada")
    assert only_alert().is_silenced
    run("resolve", str(alert.pk), "--by", "ada")
    assert only_alert().state == "resolved"
    assert run("list", "--state", "firing") == "no alerts\n"
    with pytest.raises(CommandError, match="there is no alert 999"):
        run("ack", "999")
    with pytest.raises(CommandError, match="there is no channel 'x'; there are: ops"):
        run("test-channel", "x")


def test_a_rule_is_tried_on_the_last_week(console: Client) -> None:
    rule = only_alert().rule
    assert rule
    assert page_of("alertrule_test", rule.pk) in text_of(console, page_of("alertrule_change", rule.pk))
    page = text_of(console, page_of("alertrule_test", rule.pk))
    assert "too little data to judge" in page
    assert "Nothing that this rule covers had a prediction" in page
    assert "alerts, 0 messages" in run("test", "errors", "--days", "1")
    assert json.loads(run("test", "errors", "--json"))["firing_count"] == 0


def test_a_rule_that_saw_predictions_draws_its_past(console: Client) -> None:
    record_predictions(batches=[make_batch(200, time=now(), endpoint="mnist", statuses=[500] * 100 + [200] * 100)])
    rule = only_alert().rule
    assert rule
    page = text_of(console, page_of("alertrule_test", rule.pk))
    assert "mnist version 1" in page
    assert "trial-firing" in page
    assert "<svg" in page
    printed = run("test", "errors")
    assert "mnist version 1" in printed
    assert "F|" in printed


def test_routes_inhibitions_and_quiet_hours_are_made_by_hand(console: Client) -> None:
    route = {
        "name": "pages", "position": "1", "matchers": "severity=critical\nteam!=x", "group_by": "alertname, endpoint",
        "group_wait_s": "10", "group_interval_s": "60", "repeat_interval_s": "600",
        "escalations-TOTAL_FORMS": "1", "escalations-INITIAL_FORMS": "0", "escalations-0-after_s": "900",
        "escalations-0-channels": str(Channel.objects.get().pk),
    }  # fmt: skip
    assert console.post(page_of("route_add"), route).status_code == 302
    made = Route.objects.get(name="pages")
    assert (made.matchers, made.group_by) == (['severity="critical"', 'team!="x"'], ["alertname", "endpoint"])
    assert made.escalations.get().after_s == 900
    refused = console.post(page_of("route_add"), {**route, "name": "n", "matchers": "severity=~("})
    assert "no regular expression of RE2" in refused.content.decode()
    inhibition = {
        "name": "outage", "source_matchers": "severity=critical", "target_matchers": "severity=info",
        "equal": "endpoint", "is_enabled": "on",
    }  # fmt: skip
    assert console.post(page_of("inhibition_add"), inhibition).status_code == 302
    hours = {"name": "nights", "effect": "mute", "days": ["mon", "tue"], "starts": "22:00", "ends": "06:00"}
    assert console.post(page_of("quiethours_add"), {**hours, "time_zone": "Europe/Zurich"}).status_code == 302
    assert (
        "must be the name of a zone"
        in console.post(page_of("quiethours_add"), {**hours, "name": "n", "time_zone": "Nowhere"}).content.decode()
    )
    for name in ("route", "inhibition", "quiethours", "alertgroup"):
        text_of(console, page_of(f"{name}_changelist"))


def test_the_default_route_stays(console: Client) -> None:
    default = Route.objects.get(is_default=True)
    page = text_of(console, page_of("route_change", default.pk))
    assert "group wait" in page.lower() and f'value="{duration_text(default.group_interval_s)}"' in page
    assert 'name="matchers"' not in page and "Takes every alert that no other route takes" in page
    assert console.post(page_of("route_delete", default.pk), {"post": "yes"}).status_code == 403


def test_a_group_shows_its_alerts_and_messages(console: Client) -> None:
    group = AlertGroup.objects.get()
    page = text_of(console, page_of("alertgroup_change", group.pk))
    assert "errors: mnist version 1" in page
    assert "[FIRING] warning: errors on mnist version 1" in page
    assert page_of("alertgroup_change", group.pk) in text_of(console, page_of("alert_change", only_alert().pk))


def test_a_channels_templates_are_checked_and_previewed(console: Client) -> None:
    channel = Channel.objects.get()
    fields = {
        "name": "ops", "kind": "apprise", "url": "", "is_default": "on", "is_enabled": "on",
        "title_template": "{{ count }} on {{ labels.endpoint|upper }}",
        "body_template": "{% for alert in firing %}v{{ alert.version }} {{ alert.value }};{% endfor %}",
    }  # fmt: skip
    assert console.post(page_of("channel_change", channel.pk), fields).status_code == 302
    page = text_of(console, page_of("channel_change", channel.pk))
    assert "2 on DIGITS" in page
    assert "v3 0.12;v4 0.12;" in page
    for broken in ("{% include 'x' %}", "{{ a|safe }}", "{% load static %}", "{% for %}"):
        refused = console.post(page_of("channel_change", channel.pk), {**fields, "body_template": broken})
        assert "the template:" in refused.content.decode(), broken


def test_the_rules_are_exported_to_a_file(console: Client, tmp_path: Path) -> None:
    run("export-prometheus", "--output", str(tmp_path / "rules.yml"))
    assert (tmp_path / "rules.yml").read_text() == run("export-prometheus")
    assert '- alert: "errors"' in run("export-prometheus")
