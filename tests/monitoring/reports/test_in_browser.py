"""Reports in a real browser: what is drawn, filtered, compared, downloaded; screenshots in light, dark and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from monitoring.drift.results import TestResult, Verdict
from monitoring.models.alerts import Channel
from monitoring.reports.html import report_html
from monitoring.reports.report import build_report
from tests.monitoring.alerts.test_notifications import Webhook
from tests.monitoring.reports.scenes import Scene

pytestmark = [
    pytest.mark.long,
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.xdist_group("browser"),
]

SCREENSHOTS = Path(__file__).resolve().parents[3] / "test-output" / "screenshots"
SIZES = {"wide": {"width": 1360, "height": 900}, "narrow": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Give Debian's Chromium; playwright's loop runs in this thread, where Django then wants this said."""
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, live_server: Any) -> Iterator[Any]:
    """Give a page of a person who is logged in; an error in it, or a request to another server, fails the test."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada", "ada@example.org", "a-long-password"))
    context = chromium.new_context(base_url=live_server.url, viewport=SIZES["wide"], accept_downloads=True)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "requestfinished",
        lambda sent: None if sent.url.startswith((live_server.url, "data:", "blob:")) else problems.append(sent.url),
    )
    yield page
    context.close()
    assert problems == []


def keep(page: Any, name: str) -> None:
    """Keep screenshots: light and dark, wide and narrow."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    if page.locator("console-chart").count():
        page.wait_for_function("window.echarts")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")  # draws the charts that are out of view
    for size, viewport in SIZES.items():
        page.set_viewport_size(viewport)
        page.wait_for_timeout(150)  # until the charts have taken their new width
        for theme in ("light", "dark"):
            page.evaluate("isDark => document.documentElement.classList.toggle('dark', isDark)", theme == "dark")
            page.screenshot(path=str(SCREENSHOTS / f"report-{name}-{size}-{theme}.png"), full_page=True)
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size(SIZES["wide"])


def test_an_embedding_has_a_section_of_its_own(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = TestResult(
        test="mmd", statistic=0.31, threshold=0.08, p_value=0.001, baseline_samples=1000, window_samples=500,
        verdict=Verdict.DRIFTED, is_deciding=True,
    )  # fmt: skip
    monkeypatch.setattr("monitoring.reports.report.compare_embeddings", lambda served, period: together)
    Scene(tmp_path, dimensions=8).record(now=datetime.now(UTC), turned=3)
    page.goto("/admin/monitoring/report/digits/1/")
    findings = page.locator(".report-findings").inner_text()
    assert "the model's embedding drifted (3 of 8 dimensions)" in findings
    page.locator(".report-index a[href='#embedding']").click()
    section = page.locator("#embedding")
    assert section.locator("details.report-column").count() == 8
    assert section.locator("details[data-verdict=drifted]").count() == 3
    section.locator("details.report-column > summary").first.click()
    assert "500 embeddings of the prediction store beside 1,000" in section.inner_text()
    assert page.locator("#predictions details.report-column").count() == 2, (
        "label and confidence, and no dimension among them"
    )
    keep(page, "embedding")


def test_a_healthy_version_is_seen_to_be_well(page: Any, tmp_path: Path) -> None:
    Scene(tmp_path).record(now=datetime.now(UTC))
    page.goto("/admin/monitoring/report/digits/1/")
    assert page.locator("#report-verdict").inner_text().startswith("✓")
    page.locator("#service console-chart svg").first.wait_for()
    keep(page, "healthy")


def test_a_drifting_version_says_where_and_leads_there(page: Any, tmp_path: Path) -> None:
    scene = Scene(tmp_path, columns=20)
    scene.record(now=datetime.now(UTC), shift=12, drifted=3, wild=True, right=0.75, errors=0.03)
    page.goto("/admin/monitoring/report/digits/1/")
    assert "Not well" in page.locator("#report-verdict").inner_text()
    keep(page, "drifting")
    page.get_by_role("link", name="drifted (").click()
    assert page.url.endswith("#drift")
    page.get_by_role("button", name="Drifted (4)").click()
    shown = page.locator("#drift .report-column:visible")
    assert shown.count() == 4
    page.locator("#drift [data-search]").fill("purp")
    assert shown.count() == 1
    keep(page, "drifting-filtered")


def test_a_version_without_data_says_what_is_missing(page: Any, tmp_path: Path) -> None:
    Scene(tmp_path, has_profile=False).record(now=datetime.now(UTC), minutes=1, rows=39, labelled=0.2)
    page.goto("/admin/monitoring/report/digits/1/")
    assert "Not enough data to judge" in page.locator("#report-verdict").inner_text()
    keep(page, "no-data")


def test_two_versions_are_compared_by_a_form_and_kept_as_a_file(page: Any, tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.record(now=datetime.now(UTC), version=1, minutes=20)
    scene.record(now=datetime.now(UTC), version=2, minutes=20, right=0.6, latency_ms=9)
    page.goto("/admin/monitoring/report/digits/2/")
    page.get_by_role("link", name="Compare").click()
    page.get_by_label("First").select_option("digits:1")
    page.get_by_label("Second").select_option("digits:2")
    page.get_by_role("button", name="Compare").click()
    assert "Version 2 is worse than version 1" in page.locator("#compare-verdict").inner_text()
    keep(page, "compare")
    with page.expect_download() as download:
        page.get_by_role("link", name="HTML file").click()
    assert download.value.suggested_filename == "compare-digits-v1-v2.html"
    assert "Version 2 is worse" in Path(download.value.path()).read_text(encoding="utf-8")


def test_a_report_is_downloaded_as_html_and_json(page: Any, tmp_path: Path) -> None:
    Scene(tmp_path).record(now=datetime.now(UTC), minutes=5)
    page.goto("/admin/monitoring/report/digits/1/?period_s=900")
    for name, start in (("HTML file", "<!doctype html>"), ("JSON", '{"schema_version":2')):
        with page.expect_download() as download:
            page.get_by_role("link", name=name, exact=True).click()
        assert Path(download.value.path()).read_text(encoding="utf-8").startswith(start)


def test_a_schedule_is_made_sent_and_its_report_opened(page: Any, tmp_path: Path, settings: Any) -> None:
    settings.REPORT_STORE = str(tmp_path / "reports")
    with Webhook() as webhook:
        Channel.objects.create(name="ops", url=webhook.url)
        Scene(tmp_path).record(now=datetime.now(UTC) - timedelta(days=1), minutes=5)
        page.goto("/admin/monitoring/reportschedule/add/")
        page.locator("[name=name]").fill("every day")
        page.locator("[name=endpoint]").fill("digits")
        page.locator("[name=channels]").first.select_option(label="ops")
        keep(page, "schedule")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("link", name="every day").first.click()
        page.get_by_role("link", name="Send now").or_(page.get_by_role("button", name="Send now")).first.click()
        page.locator("form[method=post] button[type=submit].console-button").click()
        page.get_by_text("1 report made and sent.").wait_for()
        assert len(webhook.received) == 1
    page.goto("/admin/monitoring/storedreport/")
    keep(page, "stored")
    page.get_by_role("link", name="digits version 1").click()
    page.locator("#report-verdict").wait_for()
    assert "period_s" not in page.url


def test_the_file_works_alone_and_prints(chromium: Any, tmp_path: Path) -> None:
    Scene(tmp_path).record(now=datetime.now(UTC), shift=12)
    report = build_report(endpoint="digits", version=1, period_s=3600)
    file = tmp_path / "report.html"
    file.write_text(report_html(report), encoding="utf-8")
    context = chromium.new_context(offline=True, viewport=SIZES["wide"])
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(file.as_uri())
    page.locator("#service console-chart svg").first.wait_for()
    keep(page, "file")
    page.pdf(path=str(SCREENSHOTS / "report-file.pdf"))
    assert page.locator("console-chart:visible").count() == page.locator("console-chart:visible[data-drawn]").count()
    context.close()
    assert problems == []


def test_without_javascript_the_tables_are_there(chromium: Any, tmp_path: Path) -> None:
    Scene(tmp_path).record(now=datetime.now(UTC))
    file = tmp_path / "report.html"
    file.write_text(report_html(build_report(endpoint="digits", version=1, period_s=3600)), encoding="utf-8")
    context = chromium.new_context(java_script_enabled=False, viewport=SIZES["wide"])
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#service .chart-numbers table:visible").count() == 3
    assert page.locator("#drift .report-column:visible").count() == 7
    context.close()
