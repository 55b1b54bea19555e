"""URLs of reports, stored reports and schedules."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from monitoring.api import report_views as views
from monitoring.api.stored_report_views import ReportScheduleViewSet, StoredReportViewSet

PREFIX = "api/monitoring/reports"

router = SimpleRouter()
router.register("reports/stored", StoredReportViewSet, basename="stored-report")
router.register("report-schedules", ReportScheduleViewSet, basename="report-schedule")

urlpatterns: list[URLPattern | URLResolver] = [
    path(f"{PREFIX}/", views.ReportView.as_view(), name="report"),
    path(f"{PREFIX}/html/", views.ReportFileView.as_view(), name="report-html"),
    path(f"{PREFIX}/schema/", views.ReportSchemaView.as_view(), name="report-schema"),
    path(f"{PREFIX}/compare/", views.CompareView.as_view(), name="report-compare"),
    path(f"{PREFIX}/compare/html/", views.CompareFileView.as_view(), name="report-compare-html"),
    path("api/monitoring/", include(router.urls)),
]
