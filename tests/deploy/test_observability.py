"""Prometheus' rules and the dashboard: valid, and about metrics that the code really has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiplatform.roles import ROLES

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())


def promtool(*arguments: str) -> None:
    """Run promtool; skip where it is not installed."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool (Debian: prometheus) is not installed")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_valid() -> None:
    promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))


def test_the_rules_are_valid_and_fire_when_they_should() -> None:
    promtool("check", "rules", str(PROMETHEUS / "rules.yml"))
    promtool("test", "rules", str(PROMETHEUS / "rules_test.yml"))


def test_every_app_is_scraped() -> None:
    [job] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    assert {group["labels"]["app"] for group in job["static_configs"]} == set(ROLES)


def defined_metrics() -> set[str]:
    """Return the names of all metrics that the code defines, with the suffixes of histograms."""
    sources = [
        path
        for app in ("aiplatform", "gateway", "inference", "monitoring", "training")
        for path in (ROOT / app).rglob("*.py")
    ]
    names = {name for path in sources for name in re.findall(r'"(aiplatform_[a-z0-9_]+)"', path.read_text())}
    return names | {f"{name}{suffix}" for name in names for suffix in ("_bucket", "_sum", "_count", "_total")}


def expressions() -> Iterator[tuple[str, str]]:
    """Yield where each expression stands, and its text."""
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert", rule.get("record")), rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield f"dashboard: {panel['title']}", target["expr"]


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_an_expression_asks_for_metrics_that_exist(place: str, expression: str) -> None:
    asked = set(re.findall(r"\baiplatform_[a-z0-9_]+", expression))
    assert asked <= defined_metrics(), place


def test_alerts_say_what_happened_and_how_bad_it_is() -> None:
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"]["severity"] in ("warning", "critical")
                assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboards_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place: Any = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
