"""The sidebar: every table that an app registered and the person may see, grouped by what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog
from django.contrib import admin
from django.db import DatabaseError
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from aiplatform.errors import PlatformError
from aiplatform.wiring import wiring

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Section:
    """One group of the sidebar: tables as `app.table` with their symbols, in the order in which they matter.

    A folded group shows its tables once it is clicked, or when one of them is open.
    """

    title: str
    symbols: dict[str, str]
    is_folded: bool = False


# In the order of the road: from training to the people who watch.
_SECTIONS = (
    Section(
        title="Training",
        symbols={
            "training.run": "model_training",
            "training.search": "manage_search",
            "training.resourcehost": "memory",
            "training.trainingschedule": "schedule",
            "training.datasetversion": "dataset",
            "training.registeredmodel": "deployed_code",
            "training.modelversion": "layers",
        },
    ),
    Section(title="Serving", symbols={"inference.endpoint": "hub"}),
    Section(
        title="Performance & drift",
        is_folded=True,
        symbols={
            "monitoring.report": "lab_profile",
            "monitoring.storedreport": "inventory_2",
            "monitoring.reportschedule": "event_repeat",
        },
    ),
    Section(
        title="Alerts",
        is_folded=True,
        symbols={
            "monitoring.alert": "notifications_active",
            "monitoring.alertgroup": "stacks",
            "monitoring.silence": "notifications_off",
            "monitoring.notification": "outgoing_mail",
        },
    ),
    Section(
        title="Alert settings",
        is_folded=True,
        symbols={
            "monitoring.alertrule": "rule",
            "monitoring.channel": "campaign",
            "monitoring.route": "alt_route",
            "monitoring.inhibition": "notifications_paused",
            "monitoring.quiethours": "bedtime",
        },
    ),
    Section(
        title="Rollouts",
        is_folded=True,
        symbols={
            "monitoring.rollout": "conversion_path",
            "monitoring.retraining": "autorenew",
            "monitoring.automationhold": "front_hand",
            "monitoring.promotionpolicy": "policy",
        },
    ),
    Section(
        title="Predictions",
        is_folded=True,
        symbols={
            "monitoring.prediction": "query_stats",
            "monitoring.feedback": "thumbs_up_down",
            "monitoring.predictionpolicy": "rule_folder",
            "monitoring.predictiondeletion": "delete_sweep",
        },
    ),
    Section(title="Gateway", symbols={"gateway.token": "key", "gateway.auditrecord": "receipt_long"}),
    Section(title="People", symbols={"auth.user": "person", "auth.group": "group"}),
)
_OTHERS = "Other tables"  # what no section names
_OTHER_SYMBOL = "table_rows"


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return Unfold's navigation: what this person may see."""
    return [_people_pages(), *_tables(request), _program_pages()]


def stylesheet(request: HttpRequest) -> str:
    """Return the address of the console's own style sheet."""
    return static("console/console.css")


def chart_script(request: HttpRequest) -> str:
    """Return the address of the script that draws charts."""
    return static("console/charts.js")


def icon(request: HttpRequest) -> str:
    """Return the address of the platform's icon."""
    return static("console/icon.svg")


def _people_pages() -> dict[str, Any]:
    return {
        "title": "",
        "items": [
            {"title": "Home", "icon": "home", "link": reverse("admin:index")},
            {"title": "Playground", "icon": "draw", "link": reverse("playground")},
        ],
    }


def _tables(request: HttpRequest) -> list[dict[str, Any]]:
    apps = admin.site.get_app_list(request)
    tables = {f"{app['app_label']}.{model['object_name'].lower()}": model for app in apps for model in app["models"]}
    found = {name: model for name, model in tables.items() if model.get("admin_url")}
    named = {name for section in _SECTIONS for name in section.symbols}
    others = Section(title=_OTHERS, symbols={name: _OTHER_SYMBOL for name in found if name not in named})
    groups = [_group(section, found) for section in (*_SECTIONS, others)]
    return [group for group in groups if group["items"]]


def _group(section: Section, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in section.symbols if name in found]
    badges = {name: _badge(name) for name in names}
    items = [
        {
            "title": found[name]["name"],
            "icon": section.symbols[name],
            "link": found[name]["admin_url"],
            "badge": badges[name],
        }
        for name in names
    ]
    return {
        "title": section.title,
        "separator": True,
        "collapsible": section.is_folded,
        "badge": sum(badges.values()) if section.is_folded else 0,  # seen also while it is folded
        "items": items,
    }


def _badge(name: str) -> int:
    """Return the number beside a table; 0, which is not shown, if nobody announced one or it cannot be asked."""
    count = wiring.badges.get(name)
    if count is None:
        return 0
    try:
        return count()
    except (PlatformError, DatabaseError) as error:
        log.warning("badge_failed", table=name, error=str(error))
        return 0


def _program_pages() -> dict[str, Any]:
    return {
        "title": "For programs",
        "separator": True,
        "items": [
            {"title": "API documentation", "icon": "api", "link": reverse("api-docs")},
            {"title": "API reference", "icon": "menu_book", "link": reverse("api-redoc")},
        ],
    }
