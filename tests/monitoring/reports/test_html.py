"""The file needs no other file: nothing in it is fetched from anywhere; and every section says its state."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aiplatform.errors import InvalidInputError
from monitoring.ingestion import record_predictions
from monitoring.models.alerts import Alert
from monitoring.reports.document import SCHEMA_VERSION, decode_report, encode_report, report_schema, report_to_dict
from monitoring.reports.html import file_name, report_html
from monitoring.reports.report import build_report
from tests.monitoring.factories import NOW, make_batch
from tests.monitoring.reports.scenes import Scene

pytestmark = pytest.mark.django_db
FETCHING = {
    "src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href", "library", "manifest",
}  # fmt: skip


class Addresses(HTMLParser):
    """Collect whatever a browser would fetch, and where links lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self._style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._style = tag == "style"
        for name, value in attrs:
            if name in FETCHING or (name == "href" and tag != "a"):
                self.fetched.append(f"{tag} {name}={value}")
            elif name == "href" and value:
                self.links.append(value)
            if name == "style" and "url(" in (value or ""):
                self.fetched.append(f"{tag} style={value}")

    def handle_data(self, data: str) -> None:
        if self._style:
            self.fetched += re.findall(r"url\([^)]*\)|@import[^;]*", data)

    def handle_endtag(self, tag: str) -> None:
        self._style = False


def html() -> str:
    return report_html(build_report(endpoint="digits", version=1, period_s=3600, now=NOW))


def test_nothing_is_fetched_and_links_stay_inside_or_lead_to_the_console(tmp_path: Path, settings: Any) -> None:
    settings.CONSOLE_URL = "https://console.example"
    Scene(tmp_path).record(now=NOW, shift=30, wild=True)
    found = Addresses(html())
    assert found.fetched == []
    assert {link for link in found.links if not link.startswith("#")} == {
        "https://console.example/admin/monitoring/report/digits/1/"
    }
    assert not {"iframe", "object", "embed", "img", "link", "base"} & set(found.tags)
    assert "default-src 'none'" in html()


def test_every_inner_link_leads_somewhere(tmp_path: Path) -> None:
    Scene(tmp_path).record(now=NOW, shift=30, right=0.5, errors=0.1)
    page = html()
    for link in {link for link in Addresses(page).links if link.startswith("#")}:
        assert f'id="{link[1:]}"' in page, link


def test_names_from_outside_cannot_run(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    record_predictions(
        batches=[
            make_batch(200, labels=[evil] * 200, categories={evil: [evil] * 200}, numeric={f"{evil}n": range(200)})
        ],
        now=NOW,
    )
    assert "<script>alert" not in html()


def test_a_version_with_everything_shows_everything(tmp_path: Path) -> None:
    Scene(tmp_path).record(now=NOW, shift=30, wild=True, right=0.7)
    page = html()
    for part in (
        "Not well", "Confusion matrix", "Reliability", "Realised", "Segments, worse ones first", "Data quality",
        "Population stability index", "Latency", "What was predicted", "No alert was active",
    ):  # fmt: skip
        assert part in page, part


def test_sections_without_data_say_what_is_missing(tmp_path: Path) -> None:
    Scene(tmp_path, has_profile=False).record(now=NOW, minutes=1, rows=39, labelled=0.0)
    page = html()
    for part in (
        "Not enough data to judge", "accuracy needs 30 labels, there are 0: 30 more", "No verdict: no baseline",
        "No label has come for this period", "No detector saw a change", "No estimate",
    ):  # fmt: skip
        assert part in page, part


def test_a_silent_period_says_so_in_every_section(tmp_path: Path) -> None:
    Scene(tmp_path).record(now=NOW, minutes=1)
    page = report_html(build_report(endpoint="digits", version=1, period_s=3600, now=NOW + timedelta(days=1)))
    for part in (
        "No traffic in this period", "No request came in this period", "Nothing was predicted in this period",
        "There was nothing to label", "Nothing was measured of the quality",
    ):  # fmt: skip
        assert part in page, part


def test_very_many_features_make_a_file_that_still_opens(tmp_path: Path) -> None:
    Scene(tmp_path, columns=150).record(now=NOW, minutes=3, rows=100)
    page = html()
    assert page.count('class="report-column"') == 157 + 2  # and label and confidence
    assert len(page) < 3_000_000


def test_alerts_of_the_period_are_told_and_others_are_not(tmp_path: Path) -> None:
    Scene(tmp_path).record(now=NOW, minutes=5)
    common: dict[str, Any] = {
        "endpoint": "digits", "version": 1, "metric": "error_rate", "comparison": "gt", "threshold": 0.1,
        "window_s": 60, "severity": "critical", "last_evaluated_at": NOW,
    }  # fmt: skip
    old = NOW - timedelta(days=2)
    Alert.objects.create(
        rule_name="long over",
        fingerprint="a",
        state="resolved",
        started_at=old,
        fired_at=old,
        resolved_at=old,
        **common,
    )
    Alert.objects.create(
        rule_name="still on", fingerprint="b", state="firing", started_at=old, fired_at=old, **common
    )  # fmt: skip
    page = html()
    assert "still on" in page
    assert "long over" not in page
    assert "Not well: the alert" in page


def test_json_reads_back_as_the_same_report_and_fits_its_schema(tmp_path: Path) -> None:
    Scene(tmp_path).record(now=NOW, shift=30)
    report = build_report(endpoint="digits", version=1, period_s=3600, now=NOW)
    assert decode_report(encode_report(report)) == report
    schema, found = report_schema(), report_to_dict(report)
    described = schema["$defs"]["PerformanceReport"]["properties"]
    assert set(found) == set(described)
    assert found["schema_version"] == SCHEMA_VERSION


def test_a_report_of_another_schema_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="schema version 1, this platform reads"):
        decode_report(msgspec.json.encode({"schema_version": 1}))
    with pytest.raises(InvalidInputError, match="not a report"):
        decode_report(b"{")


def test_file_names_tell_reports_apart(tmp_path: Path) -> None:
    Scene(tmp_path).record(now=NOW, minutes=1)
    report = build_report(endpoint="digits", version=1, period_s=3600, now=NOW)
    assert file_name(report, "html") == f"report-digits-v1-{NOW:%Y%m%d}T1100-{NOW:%Y%m%d}T1200.html"
