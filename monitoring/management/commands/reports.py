"""`manage.py reports`: read, keep, compare and send performance reports from a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from aiplatform.errors import PlatformError
from aiplatform.management.platform_command import PlatformCommand
from monitoring.alerts.selectors import get_channel
from monitoring.api.queries import read_report_query
from monitoring.models.reports import StoredReport
from monitoring.reports.compare import Comparison, Side, compare_versions, comparison_to_dict
from monitoring.reports.compare_page import comparison_html
from monitoring.reports.document import PerformanceReport, encode_report, report_schema
from monitoring.reports.html import report_html
from monitoring.reports.report import build_period_report
from monitoring.reports.schedules import read_stored
from monitoring.reports.selectors import get_schedule, get_stored, list_schedules
from monitoring.reports.sending import send_report, send_schedule
from monitoring.selectors import Period
from monitoring.templatetags.report_numbers import estimate, p_value

PIPED_WIDTH = 160  # wide enough that a line stays a line


class Command(PlatformCommand):
    """Show, export and compare reports; list schedules; send a report now."""

    help = "Read, keep, compare and send performance reports: show, export, compare, schedules, send, schema."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the sub-commands."""
        commands = parser.add_subparsers(dest="command", required=True)
        show = commands.add_parser("show", help="the verdict, and what it rests on")
        export = commands.add_parser("export", help="as a file: .html or .json")
        export.add_argument("--output", type=Path, required=True)
        compare = commands.add_parser("compare", help="two versions side by side")
        send = commands.add_parser("send", help="make a report now and send it")
        for command in (show, export):
            command.add_argument("endpoint", nargs="?")
            command.add_argument("version", nargs="?")
            command.add_argument("--stored", type=int, help="the number of a stored report instead of a version")
        compare.add_argument("endpoint")
        compare.add_argument("version")
        compare.add_argument("other_version", type=int)
        compare.add_argument("--other-endpoint", default="")
        compare.add_argument("--output", type=Path, help="an .html file, instead of text")
        send.add_argument("endpoint", nargs="?")
        send.add_argument("version", nargs="?")
        send.add_argument("--schedule", help="the last period of a schedule, to its channels, instead of a version")
        send.add_argument("--channel", help="where a version's report goes")
        for command in (show, export, compare, send):
            command.add_argument("--period-s", default="3600", help="how far back, seconds")
            command.add_argument("--start", default="", help="from then (ISO 8601, UTC), instead of --period-s")
            command.add_argument("--end", default="", help="to then; now if left out")
        for command in (show, compare):
            command.add_argument("--json", action="store_true", help="the whole as one JSON object")
        commands.add_parser("schedules", help="what is reported on by itself")
        commands.add_parser("schema", help="the JSON Schema of reports")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one sub-command."""
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "show": self._show, "export": self._export, "compare": self._compare, "send": self._send,
            "schedules": self._list_schedules, "schema": self._show_schema,
        }  # fmt: skip
        try:
            handlers[options["command"]](options)
        except PlatformError as error:
            raise CommandError(error.message) from error

    def _show(self, options: dict[str, Any]) -> None:
        report = _read(options)
        if options["json"]:
            self.stdout.write(encode_report(report).decode())
            return
        self.stdout.write(f"{report.title}, {report.period.start:%Y-%m-%d %H:%M} to {report.period.end:%H:%M} UTC")
        self.stdout.write(report.verdict.text)
        for gap in report.verdict.gaps:
            self.stdout.write(f"Not known: {gap.text}.")
        self._print(_report_table(report))
        if report.drift.features:
            self._print(_drift_table(report))

    def _export(self, options: dict[str, Any]) -> None:
        output: Path = options["output"]
        if output.suffix not in (".html", ".json"):
            raise CommandError(f"--output must end in .html or .json, not '{output.suffix}'")
        report = _read(options)
        content = encode_report(report) if output.suffix == ".json" else report_html(report).encode()
        output.write_bytes(content)
        self.stdout.write(f"{output}: {len(content):,} bytes; {report.verdict.headline}")

    def _compare(self, options: dict[str, Any]) -> None:
        endpoint, version, period = _which(options)
        other = Side(endpoint=options["other_endpoint"] or endpoint, version=options["other_version"])
        comparison = compare_versions(Side(endpoint=endpoint, version=version), other, period)
        if options["json"]:
            self.stdout.write(json.dumps(comparison_to_dict(comparison)))
        elif options["output"]:
            options["output"].write_text(comparison_html(comparison), encoding="utf-8")
            self.stdout.write(f"{options['output']}: {comparison.headline}")
        else:
            self.stdout.write(f"{comparison.headline}.\n{comparison.inputs_text}.")
            self._print(_compare_table(comparison))

    def _send(self, options: dict[str, Any]) -> None:
        now = timezone.now()
        if options["schedule"]:
            reports = send_schedule(get_schedule(options["schedule"]), now=now)
        elif options["channel"]:
            endpoint, version, period = _which(options)
            reports = [send_report(endpoint, version, period, get_channel(options["channel"]), now=now)]
        else:
            raise CommandError("say --schedule NAME, or a version and --channel NAME")
        failed = [problem for report in reports for problem in self._tell_sent(report)]
        if failed:
            raise CommandError("; ".join(failed))

    def _tell_sent(self, report: StoredReport) -> list[str]:
        self.stdout.write(f"report {report.pk}: {report}: {report.state}. {report.headline}{report.error}")
        failed = [report.error] if report.error else []
        for delivery in report.deliveries.select_related("channel"):
            self.stdout.write(f"  to {delivery.channel.name}: {delivery.state} {delivery.last_error}".rstrip())
            failed += [f"{delivery.channel.name}: {delivery.last_error}"] if delivery.last_error else []
        return failed

    def _list_schedules(self, options: dict[str, Any]) -> None:
        table = Table("name", "endpoint", "versions", "every", "time zone", "channels", "enabled", "reports", box=None)
        schedules = list(list_schedules())
        for found in schedules:
            versions = str(found.version) if found.version else "serving"
            channels = ", ".join(channel.name for channel in found.channels.all()) or "kept only"
            enabled, reports = "yes" if found.is_enabled else "no", str(found.reports.count())
            table.add_row(
                found.name, found.endpoint, versions, found.every, found.time_zone, channels, enabled, reports
            )  # fmt: skip
        if schedules:
            self._print(table)
        else:
            self.stdout.write("no schedules")

    def _show_schema(self, options: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(report_schema(), indent=2))

    def _print(self, table: Table) -> None:
        width = None if self.stdout.isatty() else PIPED_WIDTH
        Console(file=cast("IO[str]", self.stdout), width=width).print(table)


def _which(options: dict[str, Any]) -> tuple[str, int, Period]:
    names = ("endpoint", "version", "period_s", "start", "end")
    query = read_report_query({name: options[name] for name in names if options.get(name)})
    return query.endpoint, query.version, query.period()


def _read(options: dict[str, Any]) -> PerformanceReport:
    if options["stored"] is not None:
        return read_stored(get_stored(options["stored"]))
    endpoint, version, period = _which(options)
    return build_period_report(endpoint=endpoint, version=version, period=period)


def _report_table(report: PerformanceReport) -> Table:
    traffic, accuracy = report.traffic, report.accuracy
    table = Table("measure", "value", "95% between", box=None)
    table.add_row("predictions", f"{traffic.predictions:,}", "")
    table.add_row("failed requests", *_split(estimate(traffic.error_rate_estimate, "share")))
    for name, found in report.latency_estimates_ms.items():
        table.add_row(f"latency {name}, ms", *_split(estimate(found)))
    if accuracy.value is not None:
        between = f"{accuracy.low:.1%} to {accuracy.high:.1%}"
        table.add_row(f"accuracy on {accuracy.labelled:,} labels", f"{accuracy.value:.1%}", between)
    return table


def _drift_table(report: PerformanceReport) -> Table:
    table = Table("column", "verdict", "moved", "test", "statistic", "threshold", "p", "rows", box=None)
    for column in (*report.drift.features, *report.drift.embedding):
        for test in column.tests:
            statistic = "-" if test.statistic is None else f"{test.statistic:.3f}"
            table.add_row(
                column.column, column.verdict, test.direction, test.test, statistic, f"{test.threshold:g}",
                p_value(test.p_value), f"{test.window_samples:,}",
            )  # fmt: skip
    return table


def _compare_table(comparison: Comparison) -> Table:
    table = Table("measure", comparison.first.title, comparison.second.title, "difference", "verdict", box=None)
    for row in comparison.measures:
        more = f" ({row.missing:,} more needed)" if row.missing else ""
        values = [estimate(found, row.kind) for found in (row.first, row.second, row.difference)]
        table.add_row(f"{row.name}{f', {row.unit}' if row.unit else ''}", *values, f"{row.verdict.words}{more}")
    return table


def _split(text: str) -> tuple[str, str]:
    value, _, between = text.partition(" (")
    return value, between.removesuffix(")")
