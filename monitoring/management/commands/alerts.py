"""`manage.py alerts`: see and handle alerts from a terminal."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from aiplatform.errors import PlatformError
from aiplatform.management.platform_command import PlatformCommand
from monitoring.alerts import marks, selectors, silences
from monitoring.alerts.channels import send_test_message
from monitoring.alerts.defaults import ensure_default_rules
from monitoring.alerts.judgement import format_number
from monitoring.alerts.prometheus import export_rules
from monitoring.alerts.trial import run_trial
from monitoring.alerts.trial_text import print_trial
from monitoring.alerts.vocabulary import AlertState, Comparison
from monitoring.alerts.wire import past
from monitoring.api.trial_serializers import TrialSerializer
from monitoring.models.alerts import Alert

PIPED_WIDTH = 200  # wide enough that a line stays a line


class Command(PlatformCommand):
    """List, acknowledge, silence and resolve alerts; test rules and channels; export rules."""

    help = (
        "List alerts and handle them: list, ack, silence, resolve; try rules and channels: test, test-channel; "
        "export-prometheus; defaults."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the sub-commands."""
        commands = parser.add_subparsers(dest="command", required=True)
        listing = commands.add_parser("list", help="firing first")
        listing.add_argument("--state", action="append", choices=AlertState.values, help="may be repeated")
        listing.add_argument("--endpoint")
        listing.add_argument("--limit", type=int, default=50)
        listing.add_argument("--json", action="store_true", help="one JSON array")
        acknowledge = commands.add_parser("ack", help="take an alert on")
        acknowledge.add_argument("alert", type=int)
        acknowledge.add_argument("--note", default="")
        silence = commands.add_parser("silence", help="disturb nobody for a time")
        silence.add_argument("matchers", nargs="+", help='endpoint="digits" severity=~"a|b" ...; all must match')
        silence.add_argument("--minutes", type=float, default=60)
        silence.add_argument("--reason", required=True)
        resolve = commands.add_parser("resolve", help="end an alert by hand")
        resolve.add_argument("alert", type=int)
        resolve.add_argument("--note", default="")
        trial = commands.add_parser("test", help="what a rule would have done over a past time")
        trial.add_argument("rule", help="its name")
        trial.add_argument("--days", type=float, default=7)
        trial.add_argument("--json", action="store_true")
        export = commands.add_parser("export-prometheus", help="the rules as a Prometheus rule file")
        export.add_argument("--output", type=Path, help="a file; standard output if left out")
        commands.add_parser("test-channel", help="send a test message").add_argument("name")
        commands.add_parser("defaults", help="make the default rules that were never made here")
        for name, command in commands.choices.items():
            if name in ("ack", "silence", "resolve", "test-channel"):
                command.add_argument("--by", default=getpass.getuser(), help="who does it; your login name by default")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one sub-command."""
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "list": self._list, "ack": self._acknowledge, "silence": self._silence, "resolve": self._resolve,
            "test": self._test, "export-prometheus": self._export,
            "test-channel": self._test_channel, "defaults": self._make_defaults,
        }  # fmt: skip
        try:
            handlers[options["command"]](options)
        except PlatformError as error:
            raise CommandError(error.message) from error

    def _list(self, options: dict[str, Any]) -> None:
        alerts = selectors.list_alerts()
        if options["state"]:
            alerts = alerts.filter(state__in=options["state"])
        if options["endpoint"]:
            alerts = alerts.filter(endpoint=options["endpoint"])
        shown = list(alerts[: options["limit"]])
        if options["json"]:
            self.stdout.write(json.dumps([_as_json(alert) for alert in shown]))
        elif shown:
            width = None if self.stdout.isatty() else PIPED_WIDTH
            Console(file=cast("IO[str]", self.stdout), width=width).print(_as_table(shown))
        else:
            self.stdout.write("no alerts")

    def _acknowledge(self, options: dict[str, Any]) -> None:
        alert = selectors.get_alert(options["alert"])
        marks.acknowledge_alert(alert, by=options["by"], note=options["note"], now=timezone.now())
        self.stdout.write(f"acknowledged: {alert}")

    def _silence(self, options: dict[str, Any]) -> None:
        now = timezone.now()
        silence = silences.create_silence(
            created_by=options["by"], reason=options["reason"], starts_at=now, now=now,
            ends_at=now + timedelta(minutes=options["minutes"]), matchers=options["matchers"],
        )  # fmt: skip
        self.stdout.write(f"silence {silence.pk}: {silence}")

    def _resolve(self, options: dict[str, Any]) -> None:
        alert = selectors.get_alert(options["alert"])
        marks.resolve_alert(alert, by=options["by"], note=options["note"], now=timezone.now())
        self.stdout.write(f"resolved: {alert}")

    def _test(self, options: dict[str, Any]) -> None:
        rule = selectors.get_rule(options["rule"])
        trial = run_trial(rule, past(), now=timezone.now(), period_s=int(options["days"] * 86_400))
        if options["json"]:
            self.stdout.write(json.dumps(TrialSerializer(trial).data, default=str))
            return
        print_trial(trial, self.stdout)

    def _export(self, options: dict[str, Any]) -> None:
        text = export_rules(selectors.list_rules())
        if options["output"]:
            options["output"].write_text(text, encoding="utf-8")
            self.stdout.write(f"{options['output']}: {text.count('- alert: ')} rules")
        else:
            self.stdout.write(text, ending="")

    def _test_channel(self, options: dict[str, Any]) -> None:
        send_test_message(selectors.get_channel(options["name"]), by=options["by"], now=timezone.now())
        self.stdout.write(f"delivered to {options['name']}")

    def _make_defaults(self, options: dict[str, Any]) -> None:
        made = ensure_default_rules()
        self.stdout.write(f"made: {', '.join(made)}" if made else "every default rule was made here before")


def _as_json(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.pk,
        "state": alert.state,
        "severity": alert.severity,
        "rule": alert.rule_name,
        "endpoint": alert.endpoint,
        "version": alert.version,
        "metric": alert.metric,
        "value": alert.value,
        "threshold": alert.threshold,
        "started_at": alert.started_at.isoformat(),
        "acknowledged_by": alert.acknowledged_by,
        "is_silenced": alert.is_silenced,
    }


def _as_table(alerts: list[Alert]) -> Table:
    table = Table("id", "state", "severity", "rule", "endpoint", "measured", "since (UTC)", "marks", box=None)
    for alert in alerts:
        acknowledged = f"ack: {alert.acknowledged_by}" if alert.is_acknowledged else ""
        marked = [acknowledged, "silenced" if alert.is_silenced else ""]
        limit = f"{Comparison(alert.comparison).label} {format_number(alert.threshold)}"
        since = alert.fired_at or alert.started_at
        table.add_row(
            str(alert.pk), alert.state, alert.severity, alert.rule_name, f"{alert.endpoint} v{alert.version}",
            f"{alert.measured_name} {format_number(alert.value)} ({limit})", f"{since:%m-%d %H:%M:%S}",
            ", ".join(filter(None, marked)),
        )  # fmt: skip
    return table
