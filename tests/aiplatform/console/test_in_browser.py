"""The console's own pages in a real browser, in light and dark, in front of fakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils.safestring import SafeString

from aiplatform.console.charts import bar_chart, line_chart
from aiplatform.wiring import Panel
from tests.aiplatform.console.fake_world import World

pytestmark = [
    pytest.mark.long,
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.xdist_group("browser"),
]

SCREENSHOTS = Path(__file__).resolve().parents[3] / "test-output" / "screenshots"


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


@pytest.fixture(params=["light", "dark"])
def page(
    request: pytest.FixtureRequest,
    chromium: Any,
    live_server: Any,
    staff: Client,
    fake_world: World,
) -> Iterator[Any]:
    """Give a page of a person who is logged in; whatever it asks of another server, or logs as an error, fails."""
    context = chromium.new_context(
        base_url=live_server.url, color_scheme=request.param, viewport={"width": 1360, "height": 900}
    )
    context.add_cookies([{"name": "sessionid", "value": staff.cookies["sessionid"].value, "url": live_server.url}])
    page = context.new_page()
    page.theme = request.param
    page.problems = problems = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "requestfinished",
        lambda sent: None if sent.url.startswith((live_server.url, "data:", "blob:")) else problems.append(sent.url),
    )
    yield page
    context.close()
    assert problems == []


def keep(page: Any, name: str, *, is_whole: bool = True) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOTS / f"console-{name}-{page.theme}.png"), full_page=is_whole)


def draw_seven(page: Any) -> None:
    """Draw a 7 on the board with the mouse."""
    box = page.locator("#board").bounding_box()
    across, down = box["width"] / 10, box["height"] / 10
    page.mouse.move(box["x"] + 2.5 * across, box["y"] + 2.5 * down)
    page.mouse.down()
    for x, y in ((7.5, 2.5), (6, 5), (4.5, 8)):
        page.mouse.move(box["x"] + x * across, box["y"] + y * down, steps=5)
    page.mouse.up()


def test_drawing_asks_and_a_wrong_answer_is_told(page: Any, fake_world: World) -> None:
    page.goto("/playground/")
    draw_seven(page)
    page.get_by_text("90.0 %").wait_for()
    page.wait_for_function("document.getElementById('answer').textContent === '7'")
    page.get_by_role("button", name="4", exact=True).click()
    page.get_by_text("Noted: it is 4").wait_for()
    keep(page, "playground")
    assert len(fake_world.questions) >= 1
    assert fake_world.feedback[-1].label == "4"


def test_what_is_sent_fills_the_grid_like_the_training_images(page: Any, fake_world: World) -> None:
    page.goto("/playground/")
    page.locator("#live").uncheck()
    draw_seven(page)
    page.locator("#ask").click()
    page.get_by_text("90.0 %").wait_for()
    [row] = fake_world.questions[-1].instances
    ink = [[cell[0] > 60 for cell in line] for line in row]
    assert (len(row), len(row[0]), len(row[0][0])) == (8, 8, 1)
    assert any(ink[0])
    assert any(ink[-1])
    assert max(max(cell[0] for cell in line) for line in row) > 200
    assert row[0][0][0] < 60 or row[-1][0][0] < 60
    assert row[-1][7][0] == 0


def test_a_row_of_columns_is_asked_as_json(page: Any, fake_world: World) -> None:
    page.goto("/playground/?endpoint=credit")
    page.locator("#row").fill('{"age": 33')
    page.locator("#ask").click()
    page.get_by_text("This is no JSON").wait_for()
    page.locator("#row").fill('{"age": 33}')
    page.locator("#ask").click()
    page.get_by_text("80.0 %").wait_for()
    keep(page, "playground-columns")
    assert fake_world.questions[-1].instances == ({"age": 33},)


def test_an_uploaded_image_is_asked(page: Any, fake_world: World, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (40, 40), 255).save(tmp_path / "white.png")
    page.goto("/playground/")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload an image").click()
    chooser.value.set_files(str(tmp_path / "white.png"))
    page.get_by_text("90.0 %").wait_for()
    assert fake_world.questions[-1].instances == ([[[255.0]] * 8] * 8,)


def charts() -> SafeString:
    loss = [(float(epoch), 2.0 / epoch) for epoch in range(1, 13)]
    curves = line_chart(
        title="Training curves",
        series={"loss": loss, "validation": [(x, y + 0.1) for x, y in loss]},
        x_label="epoch",
        width=460,
    )
    failed = line_chart(
        title="Requests that failed",
        series={"failed": [(float(minute), 0.0) for minute in range(60)]},
        y_is_share=True,
        thresholds={"too many": 0.01},
        marks={"version 2": 20.0, "version 3": 21.0, "rollback": 50.0},
        width=460,
    )
    return (
        curves
        + failed
        + bar_chart(
            title="Drift", series={"psi": {"brightness": 0.31, "contrast": 0.08}}, thresholds={"moved": 0.25}, width=460
        )
    )


def test_home_with_panels(page: Any, panels: list[Panel]) -> None:
    for order in range(3):
        panels.append(
            Panel(
                name=f"p{order}",
                order=order,
                template="console/panel_example.html",
                context=lambda: {"drawn": charts()},
            )
        )
    page.goto("/admin/")
    page.get_by_text("Training curves").first.wait_for()
    drawn = page.locator("figure", has_text="Requests that failed").first.locator("svg")
    words = drawn.locator("text")
    words.get_by_text("too many (1%)").wait_for()
    texts = words.all_text_contents()
    assert "version 2, 1 more" in texts and "rollback" in texts and "version 3" not in texts
    shares = [float(text.rstrip("%")) for text in texts if text.endswith("%")]
    assert max(shares) < 2, "the limit and what lies below it fill the chart"
    keep(page, "home")


def test_home_without_panels(page: Any, panels: list[Panel]) -> None:
    page.goto("/admin/")
    page.get_by_text("Nothing here yet").wait_for()
    keep(page, "home-empty")


def test_the_api_documentation_is_drawn_without_another_server(page: Any) -> None:
    page.goto("/api/docs/")
    group = page.locator(".opblock-tag", has_text="Open Inference Protocol (V2)")
    group.wait_for(timeout=60_000)
    keep(page, "api-docs-groups")
    group.click()
    page.get_by_text("/v2/health/live").first.wait_for(timeout=60_000)
    keep(page, "api-docs")


@pytest.mark.parametrize("page", ["light"], indirect=True)  # it has no dark theme, and is long to draw
def test_the_api_reference_may_ask_no_other_server(page: Any) -> None:
    page.goto("/api/redoc/")
    page.get_by_text("/v2/health/live").first.wait_for(timeout=60_000)
    page.get_by_text("API docs by Redocly").wait_for()
    page.wait_for_function("document.querySelectorAll('img').length === 0")  # its maker's logo is left away
    keep(page, "api-reference", is_whole=False)
