"""The sidebar: every table that an app registered and the person may see, grouped by what it is for."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

# Group titles in the order of the road: from training to the people who watch.
_GROUPS = {
    "training": "Training",
    "inference": "Serving",
    "monitoring": "Monitoring",
    "gateway": "Gateway",
    "auth": "People",
}
# Tables in the order in which they matter, each with its symbol; any other follows by name.
_SYMBOLS = {
    "run": "model_training",
    "search": "manage_search",
    "trainingschedule": "schedule",
    "registeredmodel": "deployed_code",
    "modelversion": "layers",
    "endpoint": "hub",
    "rollout": "conversion_path",
    "promotionpolicy": "policy",
    "automationhold": "front_hand",
    "retraining": "autorenew",
    "report": "lab_profile",
    "storedreport": "inventory_2",
    "reportschedule": "event_repeat",
    "alert": "notifications_active",
    "alertrule": "rule",
    "alertgroup": "stacks",
    "channel": "campaign",
    "route": "alt_route",
    "silence": "notifications_off",
    "inhibition": "notifications_paused",
    "quiethours": "bedtime",
    "notification": "outgoing_mail",
    "prediction": "query_stats",
    "feedback": "thumbs_up_down",
    "predictionpolicy": "policy",
    "predictiondeletion": "delete_sweep",
    "token": "key",
    "auditrecord": "receipt_long",
    "user": "person",
    "group": "group",
}
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
    apps = {app["app_label"]: app["models"] for app in admin.site.get_app_list(request)}
    groups = []
    for label, title in _GROUPS.items():
        models = sorted(apps.get(label, []), key=_place)
        if models:
            items = [_table(model) for model in models if model.get("admin_url")]
            groups.append({"title": title, "separator": True, "collapsible": False, "items": items})
    return groups


def _table(model: dict[str, Any]) -> dict[str, Any]:
    name = model["object_name"].lower()
    return {"title": model["name"], "icon": _SYMBOLS.get(name, _OTHER_SYMBOL), "link": model["admin_url"]}


def _place(model: dict[str, Any]) -> tuple[int, str]:
    name = model["object_name"].lower()
    order = list(_SYMBOLS)
    return (order.index(name) if name in order else len(order), str(model["name"]))


def _program_pages() -> dict[str, Any]:
    return {
        "title": "For programs",
        "separator": True,
        "items": [
            {"title": "API documentation", "icon": "api", "link": reverse("api-docs")},
            {"title": "API reference", "icon": "menu_book", "link": reverse("api-redoc")},
        ],
    }
