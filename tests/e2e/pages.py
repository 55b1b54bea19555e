"""What the tests in a browser do with a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SCREENSHOTS = Path(__file__).resolve().parents[2] / "test-output" / "screenshots"


def keep(page: Any, name: str) -> None:
    """Keep a screenshot in light and in dark."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        page.evaluate("isDark => document.documentElement.classList.toggle('dark', isDark)", theme == "dark")
        page.screenshot(path=str(SCREENSHOTS / f"{name}-{theme}.png"), full_page=True)
    page.evaluate("document.documentElement.classList.remove('dark')")


def pick(page: Any, label: str) -> None:
    """Click a button or link of that name; an icon's name may stand before it."""
    name = re.compile(rf"(^|\s){label}$")
    page.get_by_role("button", name=name).or_(page.get_by_role("link", name=name)).first.click()


def agree(page: Any) -> None:
    """Answer the question that stands behind a button."""
    page.locator("form[method=post] button[type=submit].console-button").click()
