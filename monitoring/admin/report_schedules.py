"""Pages of report schedules and of the reports that were kept."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from aiplatform.console.pages import Question, confirm, done, failed
from aiplatform.errors import PlatformError
from monitoring.admin.read_only import ReadOnlyAdmin
from monitoring.admin.report_forms import ReportScheduleForm
from monitoring.admin.reports import download_report, show_report
from monitoring.models.reports import ReportSchedule, StoredReport
from monitoring.reports.schedules import read_stored
from monitoring.reports.selectors import get_stored, list_schedules, list_stored
from monitoring.reports.sending import send_schedule
from monitoring.reports.verdict import Health

_COLOURS = {
    Health.WELL.words: "success", Health.WATCH.words: "warning", Health.NOT_WELL.words: "danger",
    Health.NOT_ENOUGH_DATA.words: "info", Health.NO_TRAFFIC.words: "info",
}  # fmt: skip


@admin.register(ReportSchedule)
class ReportScheduleAdmin(ModelAdmin):  # type: ignore[misc]
    """What is reported on by itself, and to whom."""

    empty_hint = "A schedule makes a report each day, week or month, keeps it and sends it to channels."

    form = ReportScheduleForm
    list_display = (
        "name",
        "endpoint",
        "version_scope",
        "shown_every",
        "time_zone",
        "sent_to",
        "report_count",
        "is_enabled",
    )
    list_filter = ("is_enabled", "period", "endpoint")
    search_fields = ("name", "endpoint")
    actions_detail = ("send_now",)
    fields = (
        "name",
        "is_enabled",
        "endpoint",
        ("version_scope", "version"),
        ("period", "cron"),
        "time_zone",
        "channels",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReportSchedule]:
        """Return all schedules with how many reports each has made."""
        return list_schedules()

    @admin.display(description="Every", ordering="period")
    def shown_every(self, schedule: ReportSchedule) -> str:
        """Return how often it reports."""
        return schedule.every

    @admin.display(description="Channels")
    def sent_to(self, schedule: ReportSchedule) -> str:
        """Return the channels' names."""
        return ", ".join(channel.name for channel in schedule.channels.all()) or "kept only"

    @admin.display(description="Reports")
    def report_count(self, schedule: Any) -> int:
        """Return how many reports were made."""
        return int(schedule.report_count)

    def has_send_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Say whether this person may send reports."""
        return bool(request.user.has_perm("monitoring.change_reportschedule"))

    @action(description="Send now", url_path="send-now", permissions=["send"])  # type: ignore[untyped-decorator]
    def send_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then send the last period's reports."""
        schedule = list_schedules().filter(pk=object_id).first()
        if schedule is None:
            raise Http404
        page = reverse("admin:monitoring_reportschedule_change", args=[object_id])
        if request.method != "POST":
            what = [
                f"The reports on the last period ({schedule.every}) are made, if they are not there yet.",
                "They are sent.",
            ]
            question = Question(
                title=f"Send the reports of '{schedule.name}' now?", submit="Send now", cancel_url=page,
                what_will_change=what,
            )  # fmt: skip
            return confirm(request, question)
        try:
            reports = send_schedule(schedule, now=timezone.now())
        except PlatformError as error:
            return failed(request, error.message, to=page)
        errors = [d.last_error for report in reports for d in report.deliveries.all() if d.last_error]
        errors += [report.error for report in reports if report.error]
        if errors:
            return failed(request, f"Not sent: {errors[0]}", to=page)
        return done(request, f"{len(reports)} report{'s' if len(reports) != 1 else ''} made and sent.", to=page)


@admin.register(StoredReport)
class StoredReportAdmin(ReadOnlyAdmin):
    """Reports that were kept: each opens as it was."""

    empty_hint = "A report schedule makes them. A report of this moment is under Reports."

    list_display = ("opened", "shown_health", "headline", "period_start", "period_end", "schedule_name", "went_to")
    list_display_links = None
    list_filter = ("health", "state", "endpoint", "schedule_name")
    search_fields = ("endpoint", "headline")
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoredReport]:
        """Return all stored reports."""
        return list_stored()

    def get_urls(self) -> list[URLPattern]:
        """Add the reports' own pages."""
        view = self.admin_site.admin_view
        return [
            path("<int:report_id>/show/", view(self.show_page), name="monitoring-stored-report"),
            path("<int:report_id>/file/", view(self.file), name="monitoring-stored-report-file"),
            *super().get_urls(),
        ]

    @admin.display(description="Report")
    def opened(self, report: StoredReport) -> SafeString:
        """Return a link to the report."""
        address = reverse("admin:monitoring-stored-report", args=[report.pk])
        return format_html(
            '<a class="console-link" href="{}">{} version {}</a>', address, report.endpoint, report.version
        )

    @display(description="Verdict", label=_COLOURS)  # type: ignore[untyped-decorator]
    def shown_health(self, report: StoredReport) -> str:
        """Return the verdict, or how far the report is."""
        return Health(report.health).words if report.health else report.state

    @admin.display(description="Sent to")
    def went_to(self, report: StoredReport) -> str:
        """Return where it went, and where it did not get."""
        return ", ".join(f"{d.channel.name} ({d.state})" for d in report.deliveries.all()) or report.error or "-"

    def show_page(self, request: HttpRequest, report_id: int) -> HttpResponse:
        """Show a stored report as it was made."""
        found, answer = self._read(request, report_id)
        if answer is not None:
            return answer
        address = reverse("admin:monitoring-stored-report-file", args=[report_id])
        downloads = {"HTML file": f"{address}?as=html", "JSON": f"{address}?as=json"}
        return show_report(request, found, period_s=0, downloads=downloads)

    def file(self, request: HttpRequest, report_id: int) -> HttpResponse:
        """Download a stored report."""
        found, answer = self._read(request, report_id)
        return answer or download_report(found, as_json=request.GET.get("as") == "json")

    def _read(self, request: HttpRequest, report_id: int) -> tuple[Any, HttpResponse | None]:
        if not self.has_view_permission(request):
            raise Http404
        try:
            return read_stored(get_stored(report_id)), None
        except PlatformError as error:
            return None, failed(request, error.message, to=reverse("admin:monitoring_storedreport_changelist"))
