"""A report as one HTML file: style, charts and scripts inside, so that it needs no other file and asks no server."""

from __future__ import annotations

import functools
from pathlib import Path

from django.conf import settings
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.safestring import SafeString, mark_safe

import aiplatform
import monitoring
from aiplatform.console.chart_figure import LIBRARY
from monitoring.reports.document import PerformanceReport
from monitoring.reports.page import report_context

_KERNEL = Path(aiplatform.__file__).parent / "static"
_OWN = Path(monitoring.__file__).parent / "static"
_STYLES = (
    _KERNEL / "console/console.css", _OWN / "monitoring/report.css", _OWN / "monitoring/report_file.css",
)  # fmt: skip
_SCRIPTS = (_KERNEL / LIBRARY, _KERNEL / "console/charts.js", _OWN / "monitoring/report.js")


def report_html(report: PerformanceReport) -> str:
    """Return the report as one HTML file."""
    path = f"/admin/monitoring/report/{report.endpoint}/{report.version}/"
    body = render_to_string("monitoring/reports/body.html", report_context(report))
    return html_file(title=f"Performance report: {report.title}", body=body, path=path)


def html_file(*, title: str, body: str, path: str) -> str:
    """Return a file of a body that is HTML already; `path` is where the console has the same."""
    local = body.replace(f' library="{static(LIBRARY)}"', "")  # it is in the file
    context = {
        "title": title,
        "body": _trusted(local),
        "style": _trusted("\n".join(_read(path) for path in _STYLES)),
        "scripts": [_trusted(_read(path)) for path in _SCRIPTS],
        "console_url": f"{settings.CONSOLE_URL.rstrip('/')}{path}",
    }
    return render_to_string("monitoring/reports/file.html", context)


def file_name(report: PerformanceReport, suffix: str) -> str:
    """Return a name that tells reports apart: endpoint, version, begin and end."""
    begin, end = report.period.start, report.period.end
    return f"report-{report.endpoint}-v{report.version}-{begin:%Y%m%dT%H%M}-{end:%Y%m%dT%H%M}.{suffix}"


@functools.cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _trusted(text: str) -> SafeString:
    return mark_safe(text)  # noqa: S308  (our own templates, styles and scripts)
