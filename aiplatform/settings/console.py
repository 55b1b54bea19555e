"""The console's looks."""

from __future__ import annotations

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "aiplatform",
    "SITE_HEADER": "aiplatform",
    "SITE_SUBHEADER": "train, serve, watch",
    "SITE_ICON": "aiplatform.console.navigation.icon",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "aiplatform.console.navigation.icon"}],
    "STYLES": ["aiplatform.console.navigation.stylesheet"],
    "SCRIPTS": ["aiplatform.console.navigation.chart_script"],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "aiplatform.console.home.home_context",
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "aiplatform.console.navigation.sidebar",
    },
    "COLORS": {
        "primary": {
            "50": "#f0fdfa",
            "100": "#ccfbf1",
            "200": "#99f6e4",
            "300": "#5eead4",
            "400": "#2dd4bf",
            "500": "#14b8a6",
            "600": "#0d9488",
            "700": "#0f766e",
            "800": "#115e59",
            "900": "#134e4a",
            "950": "#042f2e",
        }
    },
}
