"""URLs of reports."""

from django.urls import URLPattern, URLResolver, path

from monitoring.api import report_views as views

PREFIX = "api/monitoring/reports"

urlpatterns: list[URLPattern | URLResolver] = [
    path(f"{PREFIX}/", views.ReportView.as_view(), name="report"),
    path(f"{PREFIX}/html/", views.ReportFileView.as_view(), name="report-html"),
    path(f"{PREFIX}/schema/", views.ReportSchemaView.as_view(), name="report-schema"),
    path(f"{PREFIX}/compare/", views.CompareView.as_view(), name="report-compare"),
    path(f"{PREFIX}/compare/html/", views.CompareFileView.as_view(), name="report-compare-html"),
]
